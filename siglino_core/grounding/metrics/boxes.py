"""How well boxes fit: IoU in fp64, accuracy at thresholds, and a matching where there are several.

A box is left, top, right, bottom, half-open: its area is (right - left) * (bottom - top), with no 1 added. A box that
is empty, inverted, not finite or missing has an IoU of 0 with everything, and its sample counts.

Legend: N samples, P predicted and T true boxes of a sample; M pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, plain

THRESHOLDS = (0.5, 0.75, 0.9)


@dataclass(frozen=True, kw_only=True, eq=False)
class Located:
    """One true box and one answer a sample.

    Attributes:
        iou_N: fp64; 0 where there was no answer.
    """

    iou_N: np.ndarray

    @property
    def n(self) -> int:
        return len(self.iou_N)

    @property
    def mean_iou(self) -> float:
        return float(self.iou_N.mean())

    def hits(self, threshold: float = 0.5) -> np.ndarray:
        """Whether each IoU is the threshold or more, bool [N]: for intervals and paired tests."""
        return self.iou_N >= threshold

    def accuracy(self, threshold: float = 0.5) -> float:
        """The share of samples whose IoU is the threshold or more."""
        return float(self.hits(threshold).mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class Matched:
    """A sample's predicted boxes beside its true ones, one to one.

    The pairs are those whose IoUs have the highest sum (the assignment problem); pairs without overlap are none. At a
    threshold, the pairs that reach it count: another matching might have more of those, with less overlap in all.

    Attributes:
        predicted_M, true_M: places of a pair's boxes, int64; ``iou_M`` their IoU, fp64.
        predicted, true: how many boxes there are.
    """

    predicted_M: np.ndarray
    true_M: np.ndarray
    iou_M: np.ndarray
    predicted: int
    true: int

    def found(self, threshold: float = 0.5) -> int:
        """Pairs whose IoU is the threshold or more."""
        return int((self.iou_M >= threshold).sum())

    def f1(self, threshold: float = 0.5) -> float:
        """2 * found / (predicted + true); 1 where there is neither."""
        total = self.predicted + self.true
        return 2 * self.found(threshold) / total if total else 1.0

    @property
    def mean_iou(self) -> float:
        """The pairs' summed IoU by the larger of both counts; 1 where there is neither."""
        most = max(self.predicted, self.true)
        return float(self.iou_M.sum()) / most if most else 1.0


def box_iou(first: Array, second: Array) -> np.ndarray:
    """IoU of rows with rows, fp64 [N].

    Args:
        first, second: [N, 4].

    Raises:
        DataError: other shapes.
    """
    first_N4, second_N4 = _boxes(first), _boxes(second)
    if first_N4.shape != second_N4.shape:
        raise DataError(f"{len(first_N4)} boxes and {len(second_N4)}: each needs its other")
    return _iou(first_N4, second_N4)


def box_iou_matrix(predicted: Array, true: Array) -> np.ndarray:
    """IoU of each with each, fp64 [P, T]."""
    return _iou(_boxes(predicted)[:, None], _boxes(true)[None])


def located(predicted: Sequence[Array | None], true: Array) -> Located:
    """One answer a sample against its one true box.

    Args:
        predicted: N answers: a box [4], boxes [P, 4] of which the first counts (give the surest first), or None:
            nothing was found.
        true: [N, 4].

    Raises:
        DataError: no samples, other shapes, or not as many answers as samples.
    """
    true_N4 = _boxes(true)
    if len(predicted) != len(true_N4) or not len(true_N4):
        raise DataError(f"{len(predicted)} answers to {len(true_N4)} samples: each sample needs one, None for nothing")
    answers_N4 = np.full(true_N4.shape, np.nan)
    for i, answer in enumerate(predicted):
        found_P4 = np.empty((0, 4)) if answer is None else _boxes(np.atleast_2d(plain(answer)))
        answers_N4[i : i + len(found_P4[:1])] = found_P4[:1]
    return Located(iou_N=_iou(answers_N4, true_N4))


def match(predicted: Array, true: Array) -> Matched:
    """A sample's boxes one to one.

    Args:
        predicted: [P, 4]; true: [T, 4]; either may be none.
    """
    return matched(box_iou_matrix(predicted, true))


def matched(iou: np.ndarray) -> Matched:
    """The same from the IoU of each with each, [P, T]: of boxes or of masks."""
    from scipy.optimize import linear_sum_assignment

    predicted_M, true_M = linear_sum_assignment(iou, maximize=True)
    iou_M = iou[predicted_M, true_M]
    real_M = iou_M > 0
    return Matched(
        predicted_M=predicted_M[real_M].astype(np.int64),
        true_M=true_M[real_M].astype(np.int64),
        iou_M=iou_M[real_M],
        predicted=iou.shape[0],
        true=iou.shape[1],
    )


def _boxes(values: Array) -> np.ndarray:
    found = plain(values)
    if found.shape == (0,):
        return np.empty((0, 4))
    if found.ndim != 2 or found.shape[1] != 4 or found.dtype.kind not in "fiu":
        raise DataError(f"boxes of shape {found.shape} and type {found.dtype}: they need four numbers each")
    return found.astype(np.float64)


def _iou(first_4: np.ndarray, second_4: np.ndarray) -> np.ndarray:
    """Over the last axis; others broadcast."""
    good = _real(first_4) & _real(second_4)
    first_4, second_4 = np.where(good[..., None], first_4, 0), np.where(good[..., None], second_4, 0)
    low = np.maximum(first_4[..., :2], second_4[..., :2])
    high = np.minimum(first_4[..., 2:], second_4[..., 2:])
    inter = np.clip(high - low, 0, None).prod(-1)
    union = _area(first_4) + _area(second_4) - inter
    there = good & (union > 0)
    return np.where(there, inter / np.where(there, union, 1), 0.0)


def _real(boxes_4: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        ordered = (boxes_4[..., 0] < boxes_4[..., 2]) & (boxes_4[..., 1] < boxes_4[..., 3])
        return ordered & (np.abs(boxes_4) < 1e100).all(-1)  # so that no area overflows; NaN is not below anything


def _area(boxes_4: np.ndarray) -> np.ndarray:
    return (boxes_4[..., 2] - boxes_4[..., 0]) * (boxes_4[..., 3] - boxes_4[..., 1])
