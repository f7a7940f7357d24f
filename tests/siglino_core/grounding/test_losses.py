"""Losses against plain formulas and well-kept functions."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from siglino_core.grounding.losses import (
    answer_loss,
    bin_loss,
    box_loss,
    dice_loss,
    expected_pair,
    focal_loss,
    generalized_iou,
)  # fmt: skip
from siglino_core.grounding.targets import UNASKED


def test_answers_alone_count() -> None:
    logits_SA = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    answer_S = torch.tensor([UNASKED, 2, UNASKED, 5])
    wanted = -(logits_SA.log_softmax(-1)[1, 2] + logits_SA.log_softmax(-1)[3, 5])
    torch.testing.assert_close(answer_loss(logits_SA, answer_S), wanted)
    assert answer_loss(logits_SA, torch.full((4,), UNASKED)) == 0


def test_bins() -> None:
    logits_K2n = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))
    place_K2 = torch.tensor([[0.0, 7.99], [3.2, 8.0], [1.0, 4.5]])
    wanted = F.cross_entropy(logits_K2n.flatten(0, 1), torch.tensor([0, 7, 3, 7, 1, 4]), reduction="sum")
    torch.testing.assert_close(bin_loss(logits_K2n, place_K2), wanted)


def test_a_narrow_gaussian_is_the_bin_and_a_wide_one_is_least_at_itself() -> None:
    logits_K2n = torch.randn(1, 2, 16, generator=torch.Generator().manual_seed(0))
    place_K2 = torch.tensor([[3.5, 9.5]])
    torch.testing.assert_close(bin_loss(logits_K2n, place_K2, spread=0.05), bin_loss(logits_K2n, place_K2))
    middle_n = torch.arange(16) + 0.5
    share_2n = torch.exp(-0.5 * ((middle_n - place_K2[0][:, None]) / 1.5) ** 2)
    share_2n /= share_2n.sum(1, keepdim=True)
    entropy = torch.special.entr(share_2n).sum()
    torch.testing.assert_close(bin_loss(share_2n.log()[None], place_K2, spread=1.5), entropy)
    assert bin_loss(share_2n.log()[None], place_K2 + 1, spread=1.5) > entropy


def test_the_mean_of_bins() -> None:
    sure = torch.full((1, 2, 1024), -1e4)
    sure[0, 0, 512] = sure[0, 1, 100] = 0
    assert expected_pair(sure, "coordinate")[0].tolist() == pytest.approx([512.5 / 1024, 100.5 / 1024])
    assert expected_pair(sure, "size")[0, 0].item() == pytest.approx(0.031356, rel=1e-3)
    even = torch.zeros(1, 2, 1024)
    assert expected_pair(even, "coordinate")[0, 0].item() == pytest.approx(0.5)
    assert expected_pair(even, "size")[0, 0].item() == pytest.approx(2**-5, rel=1e-3)


def test_boxes() -> None:
    a, b = torch.rand(2, 5, 2, 2, generator=torch.Generator().manual_seed(0)).unbind(0)
    centre, side, true_centre, true_side = a[:, 0], a[:, 1] + 0.1, b[:, 0], b[:, 1] + 0.1
    own = torch.cat([centre - side / 2, centre + side / 2], 1)
    true = torch.cat([true_centre - true_side / 2, true_centre + true_side / 2], 1)
    of_pairs = generalized_box_iou_loss(own, true, reduction="none")
    torch.testing.assert_close(1 - generalized_iou(own, true), of_pairs)
    distance = (centre - true_centre).abs().sum() + (side - true_side).abs().sum()
    torch.testing.assert_close(box_loss(centre, side, true_centre, true_side), distance + of_pairs.sum())
    assert box_loss(centre, side, centre, side).item() == pytest.approx(0, abs=1e-5)
    assert generalized_iou(torch.zeros(1, 4), torch.zeros(1, 4)).isfinite().all()


def test_masks() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, true = torch.randn(3, 4, 5, generator=generator), (torch.rand(3, 4, 5, generator=generator) > 0.5).float()
    wanted = sigmoid_focal_loss(logits, true, alpha=0.25, gamma=2, reduction="none").mean((1, 2)).sum()
    torch.testing.assert_close(focal_loss(logits, true), wanted)
    chance = logits.sigmoid()
    overlap, areas = (chance * true).sum((1, 2)), chance.sum((1, 2)) + true.sum((1, 2))
    torch.testing.assert_close(dice_loss(logits, true), (1 - (2 * overlap + 1) / (areas + 1)).sum())
    assert dice_loss(true * 200 - 100, true).item() == pytest.approx(0, abs=1e-6)
    assert math.isfinite(float(focal_loss(torch.full((1, 2, 2), 1e4), torch.zeros(1, 2, 2))))
