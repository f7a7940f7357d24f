"""Golden frequencies, positions, and the rotation they make."""

import math

import pytest
import torch

from siglino_core.models.rope import golden_frequencies, grid_positions, rotate, rotation


def test_check_values() -> None:
    found = golden_frequencies(6, 16)
    wanted = torch.tensor([[0.9690, 0.2471], [0.0276, -1.2207], [-1.1207, 0.9833]])
    torch.testing.assert_close(found[0, :3], wanted, atol=5e-5, rtol=0)
    assert found.dtype == torch.float32


def test_magnitudes_are_the_same_for_every_head() -> None:
    lengths_HF = golden_frequencies(4, 8).norm(dim=-1)
    torch.testing.assert_close(lengths_HF, lengths_HF[:1].expand(4, -1))
    torch.testing.assert_close(lengths_HF[0, [0, -1]], torch.tensor([1.0, 20.0]))


def test_frequencies_are_made_on_the_cpu_while_a_model_is_laid_out() -> None:
    golden_frequencies.cache_clear()
    with torch.device("meta"):
        assert golden_frequencies(3, 4).device.type == "cpu"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (5, 1), (4, 4), (3, 8)])
def test_positions(height: int, width: int) -> None:
    n = torch.arange(height * width)
    one = torch.ones_like(n)
    found = grid_positions(n // width, n % width, one * height, one * width).view(height, width, 2)
    tall, wide = math.sqrt(height / width), math.sqrt(width / height)
    torch.testing.assert_close(found[:, 0, 0], torch.linspace(-tall, tall, height))
    torch.testing.assert_close(found[0, :, 1], torch.linspace(-wide, wide, width))
    assert (found[:, :, 0] == found[:, :1, 0]).all()


def test_rotation_turns_the_second_half_alone() -> None:
    x = torch.randn(5, 2, 16, dtype=torch.float64)
    positions = torch.randn(5, 2)
    positions[0] = 0
    turned = rotate(x, rotation(positions, golden_frequencies(2, 4)))
    assert torch.equal(turned[0], x[0])
    assert torch.equal(turned[..., :8], x[..., :8])
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-6, atol=0)
    pairs, angle = x[1, 1, 8:].view(4, 2), golden_frequencies(2, 4)[1] @ positions[1]
    as_complex = torch.view_as_complex(pairs) * torch.polar(torch.ones(4, dtype=torch.float64), angle.double())
    torch.testing.assert_close(turned[1, 1, 8:].view(4, 2), torch.view_as_real(as_complex), rtol=1e-5, atol=1e-6)


def test_scores_depend_on_where_patches_lie_to_one_another() -> None:
    frequencies = golden_frequencies(2, 4)
    q, k = torch.randn(2, 1, 2, 16, dtype=torch.float64)
    at, by, shift = torch.tensor([[0.3, -0.2]]), torch.tensor([[-0.5, 0.9]]), torch.tensor([[0.7, 0.4]])

    def score(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (rotate(q, rotation(first, frequencies)) * rotate(k, rotation(second, frequencies))).sum(-1)

    torch.testing.assert_close(score(at, by), score(at + shift, by + shift), rtol=1e-5, atol=1e-5)
