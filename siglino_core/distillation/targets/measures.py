"""What a codec costs: how far decoded patches are from those of bf16, and whether images keep their neighbours.

Legend: B images, N patches of an image, C the teacher's width.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

NEIGHBOURS = 20


class Errors(NamedTuple):
    """Of decoded patches beside the reference's.

    Attributes:
        relative_mse: mean squared error over the reference's variance (about each channel's mean).
        knn_agreement: share of each image's nearest neighbours that stay the same, 0 to 1.
        images: that it was measured on.
    """

    relative_mse: float
    knn_agreement: float
    images: int


class ErrorMeter:
    """Sums errors up image by image, so that patches need not stay in memory."""

    def __init__(self) -> None:
        self._count = 0
        self._squares, self._error = 0.0, 0.0
        self._sum_C: Tensor | None = None
        self._means: tuple[list[Tensor], list[Tensor]] = ([], [])

    def update(self, reference_NC: Tensor, decoded_NC: Tensor) -> None:
        """One image's patches, in the teacher's own space."""
        assert reference_NC.shape == decoded_NC.shape
        reference, decoded = reference_NC.double().cpu(), decoded_NC.double().cpu()
        self._count += len(reference)
        self._squares += float(reference.square().sum())
        self._error += float((decoded - reference).square().sum())
        self._sum_C = reference.sum(0) if self._sum_C is None else self._sum_C + reference.sum(0)
        for means, x in zip(self._means, (reference, decoded), strict=True):
            means.append(x.mean(0))

    def result(self) -> Errors:
        """Of all images so far; at least one."""
        assert self._sum_C is not None
        variance = self._squares - float(self._sum_C.square().sum()) / self._count
        relative = self._error / variance if variance > 0 else float(self._error > 0)
        reference_BC, decoded_BC = (torch.stack(means) for means in self._means)
        return Errors(relative, knn_agreement(reference_BC, decoded_BC), len(reference_BC))


def knn_agreement(reference_BC: Tensor, decoded_BC: Tensor, k: int = NEIGHBOURS) -> float:
    """Share of each image's ``k`` nearest neighbours (cosine) that are the same on both sides, averaged over images.

    Of few images, a quarter of them: all images are the neighbours of all, whatever the codec.
    """
    k = min(k, len(reference_BC) // 4)
    if k == 0:
        return 1.0
    near_BB = _near(reference_BC, k) & _near(decoded_BC, k)
    return float(near_BB.sum()) / (k * len(reference_BC))


def _near(x_BC: Tensor, k: int) -> Tensor:
    """bool [B, B]: whether the column's image is among the row's nearest."""
    unit_BC = F.normalize(x_BC.double(), dim=1)
    cosine_BB = (unit_BC @ unit_BC.T).fill_diagonal_(float("-inf"))
    near_BK = cosine_BB.topk(k, dim=1).indices
    return torch.zeros_like(cosine_BB, dtype=torch.bool).scatter_(1, near_BK, True)
