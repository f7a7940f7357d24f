"""What an answer costs: the next token, bins of points and sizes, masks.

Every function returns a sum over its items; the caller divides by their number over all ranks, so that an item weighs
the same wherever it is.

Legend: S tokens, K instances, n bins, h x w mask logits.

Source: Lin et al. 2017 (arXiv 1708.02002) for the focal loss, Milletari et al. 2016 (arXiv 1606.04797) for Dice,
Rezatofighi et al. 2019 (arXiv 1902.09630) for GIoU.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from siglino_core.grounding.codecs import bins_of, coordinate_of, size_of
from siglino_core.grounding.targets import UNASKED

FOCUS, POSITIVE = 2.0, 0.25  # gamma and alpha of the focal loss


def answer_loss(logits_SA: Tensor, answer_S: Tensor) -> Tensor:
    """Cross-entropy of the next token, over those of answers alone."""
    return F.cross_entropy(logits_SA.float(), answer_S, ignore_index=UNASKED, reduction="sum")


def bin_loss(logits_K2n: Tensor, place_K2: Tensor, spread: float = 0.0) -> Tensor:
    """Cross-entropy of two bins an instance.

    Args:
        place_K2: where the truth lies, in bins, from 0 to n: bin i is [i, i + 1).
        spread: standard deviation, in bins, of the Gaussian around it that stands for the truth; 0: its bin alone.
    """
    bins = logits_K2n.shape[-1]
    if spread == 0:
        target = bins_of(place_K2, bins)
        return F.cross_entropy(logits_K2n.float().flatten(0, 1), target.flatten(), reduction="sum")
    middle_n = torch.arange(bins, device=place_K2.device) + 0.5
    share_K2n = (-0.5 * ((middle_n - place_K2[..., None]) / spread) ** 2).softmax(-1)
    return -(share_K2n * logits_K2n.float().log_softmax(-1)).sum()


def expected_pair(logits_K2n: Tensor, kind: str) -> Tensor:
    """The mean of what the bins stand for, [K, 2]: differentiable, for losses of whole boxes.

    Args:
        kind: ``coordinate``, or ``size``, whose mean is of logarithms.
    """
    share_K2n = logits_K2n.float().softmax(-1)
    bin_n = torch.arange(logits_K2n.shape[-1], device=logits_K2n.device)
    if kind == "coordinate":
        return (share_K2n * coordinate_of(bin_n, len(bin_n))).sum(-1)
    return torch.exp2((share_K2n * size_of(bin_n, len(bin_n)).log2()).sum(-1))


def box_loss(centre_K2: Tensor, side_K2: Tensor, true_centre_K2: Tensor, true_side_K2: Tensor) -> Tensor:
    """L1 of centres and sides, and 1 - GIoU of the boxes."""
    distance = (centre_K2 - true_centre_K2).abs().sum() + (side_K2 - true_side_K2).abs().sum()
    own_K4, true_K4 = _corners(centre_K2, side_K2), _corners(true_centre_K2, true_side_K2)
    return distance + (1 - generalized_iou(own_K4, true_K4)).sum()


def generalized_iou(a_K4: Tensor, b_K4: Tensor) -> Tensor:
    """IoU less the share of the smallest common box that neither covers, [K], for pairs of boxes."""
    low, high = torch.maximum(a_K4[:, :2], b_K4[:, :2]), torch.minimum(a_K4[:, 2:], b_K4[:, 2:])
    common = (high - low).clamp(min=0).prod(1)
    union = _area(a_K4) + _area(b_K4) - common
    around = (torch.maximum(a_K4[:, 2:], b_K4[:, 2:]) - torch.minimum(a_K4[:, :2], b_K4[:, :2])).prod(1)
    tiny = torch.finfo(a_K4.dtype).tiny
    return common / union.clamp(min=tiny) - (around - union) / around.clamp(min=tiny)


def focal_loss(logits_Khw: Tensor, true_Khw: Tensor) -> Tensor:
    """The focal loss of every pixel, averaged over a mask's pixels, summed over masks.

    Args:
        true_Khw: from 0 to 1, the share of a pixel that the mask covers.
    """
    logits, true = logits_Khw.float(), true_Khw.float()
    entropy = F.binary_cross_entropy_with_logits(logits, true, reduction="none")
    chance = logits.sigmoid()
    right = chance * true + (1 - chance) * (1 - true)
    weight = POSITIVE * true + (1 - POSITIVE) * (1 - true)
    return (weight * (1 - right) ** FOCUS * entropy).flatten(1).mean(1).sum()


def dice_loss(logits_Khw: Tensor, true_Khw: Tensor) -> Tensor:
    """1 - (2 overlap + 1) / (areas + 1), summed over masks."""
    chance, true = logits_Khw.float().sigmoid().flatten(1), true_Khw.float().flatten(1)
    return (1 - (2 * (chance * true).sum(1) + 1) / (chance.sum(1) + true.sum(1) + 1)).sum()


def _corners(centre_K2: Tensor, side_K2: Tensor) -> Tensor:
    return torch.cat([centre_K2 - side_K2 / 2, centre_K2 + side_K2 / 2], dim=1)


def _area(box_K4: Tensor) -> Tensor:
    return (box_K4[:, 2:] - box_K4[:, :2]).prod(1)
