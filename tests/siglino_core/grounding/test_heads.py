"""Heads of answers: shapes, scales and what they begin with."""

import pytest
import torch

from siglino_core.grounding.heads import Fourier, MaskHead, PairHead, relu2


def test_pairs_begin_even_and_stay_fp32() -> None:
    head = PairHead(16, 8, 64)
    head.reset_parameters()
    logits = head.bfloat16()(torch.randn(5, 16).bfloat16())
    assert (logits.shape, logits.dtype) == ((5, 2, 64), torch.float32)
    assert logits.softmax(-1).max() < 4 / 64
    assert relu2(torch.tensor([-2.0, 3.0])).tolist() == [0, 9]


def test_fourier_tells_near_points_apart() -> None:
    torch.manual_seed(0)
    enter = Fourier(256, 16)
    enter.reset_parameters()
    a, near, far = enter(torch.tensor([[0.5, 0.5], [0.502, 0.5], [0.9, 0.1]]))
    assert 0.05 < (a - near).norm() / a.norm() < (a - far).norm() / a.norm()


@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (5, 2)])
def test_pixels_lie_where_their_patches_lie(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    head = MaskHead(8, 4, 4)
    head.reset_parameters()
    x_ND = torch.zeros(shape[0] * shape[1], 8)
    base = head.pixels(x_ND, shape)
    assert base.shape == (4, 4 * shape[0], 4 * shape[1])
    x_ND[-1] = 1  # the patch at the bottom on the right
    moved = (head.pixels(x_ND, shape) - base).abs().sum(0).nonzero()
    assert moved.amin(0).tolist() == [max(0, 4 * (n - 2) - 1) for n in shape]  # a patch around, and a pixel around that
    assert head(torch.randn(3, 8), base).shape == (3, *base.shape[1:])


def test_most_pixels_belong_to_no_mask_at_first() -> None:
    torch.manual_seed(0)
    head = MaskHead(8, 4, 4)
    head.reset_parameters()
    logits = head(torch.randn(3, 8), head.pixels(torch.randn(6, 8), (2, 3)))
    assert logits.sigmoid().mean() < 0.2
