"""How well masks fit: intersections and unions in pixels, a sample each, from which all numbers follow.

Legend: N samples, H and W pixels, P predicted and T true masks of a sample.
Source: mIoU and cIoU as Liu et al. 2023 (GRES) define gIoU and cIoU, with an IoU of 1 where both masks are empty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlaps:
    """Samples' masks against the true ones.

    Attributes:
        inter_N, union_N: pixels, int64.
    """

    inter_N: np.ndarray
    union_N: np.ndarray

    @property
    def n(self) -> int:
        return len(self.union_N)

    @property
    def iou_N(self) -> np.ndarray:
        """fp64; 1 where both masks are empty."""
        empty_N = self.union_N == 0
        return np.where(empty_N, 1.0, self.inter_N / np.where(empty_N, 1, self.union_N))

    @property
    def rows_N2(self) -> np.ndarray:
        """Intersection and union of each sample, for `statistics.bootstrap.ratio`, whose value cIoU is."""
        return np.stack([self.inter_N, self.union_N], 1)

    @property
    def mean_iou(self) -> float:
        """mIoU: the mean of the samples' IoU."""
        return float(self.iou_N.mean())

    @property
    def cumulative_iou(self) -> float:
        """cIoU: summed intersections by summed unions, so that large objects weigh more; 1 if all masks are empty."""
        total = int(self.union_N.sum())
        return int(self.inter_N.sum()) / total if total else 1.0

    def precision(self, threshold: float = 0.5) -> float:
        """The share of samples whose IoU is the threshold or more."""
        return float((self.iou_N >= threshold).mean())


def overlaps(predicted: Sequence[np.ndarray | None], true: Sequence[np.ndarray | None]) -> Overlaps:
    """One mask a sample; of several objects, the union of their masks (:func:`union`).

    Args:
        predicted, true: bool [H, W] each, at the image's own size; None: an empty mask.

    Raises:
        DataError: no samples, not as many of both, other types, or sizes that differ within a sample.
    """
    if len(predicted) != len(true) or not len(true):
        raise DataError(f"{len(predicted)} predicted masks for {len(true)} samples: each sample needs one")
    inter, total = [], []
    for i, (found_HW, real_HW) in enumerate(zip(predicted, true, strict=True)):
        _require_masks([m for m in (found_HW, real_HW) if m is not None], f"sample {i}")
        sizes = [0 if m is None else int(np.count_nonzero(m)) for m in (found_HW, real_HW)]
        both = 0 if found_HW is None or real_HW is None else int(np.count_nonzero(found_HW & real_HW))
        inter.append(both)
        total.append(sum(sizes) - both)
    return Overlaps(inter_N=np.array(inter, np.int64), union_N=np.array(total, np.int64))


def union(masks: Sequence[np.ndarray]) -> np.ndarray | None:
    """What lies in any of them, bool [H, W]; None: there are none."""
    _require_masks(masks, "a union")
    return np.logical_or.reduce(masks) if len(masks) else None


def mask_iou_matrix(predicted: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> np.ndarray:
    """IoU of each with each, fp64 [P, T], for `boxes.matched`; of two empty masks 0: neither is an object.

    Raises:
        DataError: masks of different sizes or types.
    """
    _require_masks([*predicted, *true], "a sample")
    found = np.zeros((len(predicted), len(true)))
    for i, one_HW in enumerate(predicted):
        for j, other_HW in enumerate(true):
            total = np.count_nonzero(one_HW | other_HW)
            found[i, j] = np.count_nonzero(one_HW & other_HW) / total if total else 0.0
    return found


def _require_masks(masks: Sequence[np.ndarray], what: str) -> None:
    if any(m.dtype != np.bool_ or m.ndim != 2 for m in masks) or len({m.shape for m in masks}) > 1:
        shown = ", ".join(f"{m.dtype} {m.shape}" for m in masks[:4])
        raise DataError(f"{what} has masks of {shown}: all need bool [H, W] of the image's size")
