"""Teacher dropping: the worst teacher of an image always stays, and chance belongs to the image."""

import numpy as np
import pytest
import torch
from torch import Tensor

from siglino_core.distillation.training.dropping import coefficients, draws

TEACHERS = ["siglip2", "dinov3", "own"]


def ids(count: int) -> list[str]:
    return [np.random.default_rng(i).bytes(16).hex() for i in range(count)]


def epochs(count: int, epoch: int = 0) -> np.ndarray:
    return np.full(count, epoch, np.int64)


def by_hand(errors: list[float], numbers: list[float], p: float) -> list[float]:
    """Of one image: keep the largest, each other with probability 1 - p, over the expected share that stays."""
    said = [e for e in errors if e > -float("inf")]
    share = (1 + (len(said) - 1) * (1 - p)) / len(said)
    kept = [e > -float("inf") and (e == max(said) or u >= p) for e, u in zip(errors, numbers, strict=True)]
    return [k / share for k in kept]


@pytest.mark.parametrize("p", [0.25, 0.5, 1.0])
def test_coefficients_are_those_of_single_images(p: float) -> None:
    errors_MB = torch.rand(3, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    errors_MB[1, 10:20] = -torch.inf  # a teacher that says nothing of these
    errors_MB[:2, 20:25] = -torch.inf
    draws_MB = draws(0, TEACHERS, epochs(50), ids(50))
    columns = zip(errors_MB.T.tolist(), draws_MB.T.tolist(), strict=True)
    wanted = torch.tensor([by_hand(e, u, p) for e, u in columns], dtype=torch.float64).T
    torch.testing.assert_close(coefficients(errors_MB, draws_MB, p), wanted)
    assert (wanted > 0).any(0).all()  # every image keeps a teacher
    assert ((wanted > 0).sum(0) == 1).any()
    assert torch.equal(wanted[:, 20:25], torch.tensor([[0.0], [0], [1]]).double().expand(3, 5))


def test_what_stays_weighs_in_the_mean_what_all_would() -> None:
    images = 20_000
    errors_MB = torch.rand(3, images, generator=torch.Generator().manual_seed(1))
    rng = np.random.default_rng(0)
    found = coefficients(errors_MB, torch.from_numpy(rng.random((3, images))), 0.25)
    assert float(found.sum(0).mean()) == pytest.approx(3.0, abs=0.02)
    others = torch.ones_like(errors_MB).scatter_(0, errors_MB.argmax(0, keepdim=True), 0).bool()
    assert float((found[others] == 0).double().mean()) == pytest.approx(0.25, abs=0.01)


def test_draws_belong_to_the_image_its_epoch_and_the_teacher() -> None:
    names = ids(40)
    whole = draws(3, TEACHERS, epochs(40), names)
    assert ((whole > 0) & (whole < 1)).all()
    order = np.random.default_rng(0).permutation(40)
    torch.testing.assert_close(draws(3, TEACHERS, epochs(40), [names[i] for i in order]), whole[:, order])
    torch.testing.assert_close(draws(3, TEACHERS[1:], epochs(7), names[:7]), whole[1:, :7])
    for other in (draws(4, TEACHERS, epochs(40), names), draws(3, TEACHERS, epochs(40, 1), names), whole.roll(1, 0)):
        assert not (other == whole).any()
    mixed = np.where(np.arange(40) % 2, 1, 0)
    both = draws(3, TEACHERS, mixed, names)
    assert torch.equal(both[:, ::2], whole[:, ::2])
    assert torch.equal(both[:, 1::2], draws(3, TEACHERS, epochs(40, 1), names)[:, 1::2])


def uniformity(values: Tensor) -> float:
    """The largest gap between their distribution and a uniform one."""
    sorted_N = values.flatten().sort().values
    return float((sorted_N - torch.arange(len(sorted_N)) / len(sorted_N)).abs().max())


def test_draws_are_uniform_and_teachers_independent() -> None:
    found = draws(0, TEACHERS, epochs(2000), ids(2000))
    assert uniformity(found) < 0.02
    assert torch.corrcoef(found).fill_diagonal_(0).abs().max() < 0.07
