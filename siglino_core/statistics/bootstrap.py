"""Bootstrap intervals: of a mean, of a mean over groups, and of any statistic of summed rows, such as mIoU.

Shares of yes and no answers that are independent have `proportion.wilson`, which needs no draws.

Legend: N samples, V values of a row, B draws.
"""

import numpy as np

from siglino_core.errors import DataError
from siglino_core.statistics.interval import Interval
from siglino_core.statistics.proportion import quantile
from siglino_core.statistics.resample import Statistic, as_rows, by_group, left_out, resampled

DRAWS, LEVEL = 2000, 0.95


def mean_interval(
    values: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    bca: bool = True,
) -> Interval:
    """The mean of samples and its bootstrap interval; ``n`` counts samples.

    Args:
        values: [N].
        groups: [N], such as the image that a caption belongs to: whole groups are drawn, not samples.
        bca: bias-corrected and accelerated (Efron 1987); else percentiles.

    Raises:
        DataError: no samples, some not finite, or not one group each.
    """
    rows_G2 = by_group(as_rows(np.asarray(values).reshape(-1)), groups)
    found = _interval(rows_G2, ratio, draws, seed, level, bca)
    return Interval(mean=found.mean, low=found.low, high=found.high, n=int(rows_G2[:, -1].sum()))


def statistic_interval(
    rows: np.ndarray,
    statistic: Statistic,
    groups: np.ndarray | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
    bca: bool = True,
) -> Interval:
    """A statistic of the summed rows of samples and its bootstrap interval.

    Args:
        rows: [N, V]; for mIoU the intersections and then the unions of an image, a class each.
        statistic: from sums [B, V] to numbers [B]: :func:`mean_iou`, :func:`ratio`.
        groups: [N]: whole groups are drawn.

    Raises:
        DataError: as :func:`mean_interval`, or the statistic of all samples is not finite.
    """
    rows_NV = as_rows(rows)
    grouped_GV = by_group(rows_NV, groups)[:, :-1]
    found = _interval(grouped_GV, statistic, draws, seed, level, bca)
    return Interval(mean=found.mean, low=found.low, high=found.high, n=len(rows_NV))


def ratio(sums_B2: np.ndarray) -> np.ndarray:
    """The first sum by the second, [B]: a mean from (value, 1), cIoU from (intersection, union); 0 / 0 is NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums_B2[:, 0] / sums_B2[:, 1]


def mean_iou(sums_BV: np.ndarray) -> np.ndarray:
    """mIoU, [B], from sums of intersections and then unions, V = 2 classes; a class with no union is left out."""
    inter_BC, union_BC = np.split(sums_BV, 2, axis=1)
    there_BC = union_BC > 0
    iou_BC = np.where(there_BC, inter_BC / np.where(there_BC, union_BC, 1), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return iou_BC.sum(1) / there_BC.sum(1)


def clustered_standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> float:
    """The standard error of a mean whose samples come in groups; NaN of fewer than two samples.

    Without groups it is the usual one, sd / sqrt(n). 10 groups of 5 equal answers, half of them right: 0.1584, where
    the usual one says 0.0714.

    Raises:
        DataError: no samples, some not finite, or not one group each.

    Source: Miller 2024, "Adding error bars to evals" (arXiv:2411.00640).
    """
    values_N1 = as_rows(np.asarray(values).reshape(-1))
    n = len(values_N1)
    if n < 2:
        return float("nan")
    off_N1 = values_N1 - values_N1.mean()
    squares = float((off_N1**2).sum())
    between = float((by_group(off_N1, groups)[:, 0] ** 2).sum()) - squares  # products of different samples of a group
    return max(squares / (n - 1) / n + between / n**2, 0.0) ** 0.5


def _interval(rows_GV: np.ndarray, statistic: Statistic, draws: int, seed: int, level: float, bca: bool) -> Interval:
    """The interval of a statistic of summed rows; one row has none."""
    value = float(statistic(rows_GV.sum(0, keepdims=True))[0])
    if not np.isfinite(value):
        raise DataError("the statistic of all samples is not finite: it has nothing to divide by")
    if len(rows_GV) < 2:
        return Interval(mean=value, n=len(rows_GV))
    found_B = resampled(rows_GV, statistic, draws=draws, seed=seed)
    found_B = found_B[np.isfinite(found_B)]  # a draw without any pixel of any class says nothing
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    if bca:
        ends = _corrected(ends, value, found_B, left_out(rows_GV, statistic))
    low, high = np.quantile(found_B, ends)
    return Interval(mean=value, low=float(low), high=float(high), n=len(rows_GV))


def _corrected(ends_2: np.ndarray, value: float, found_B: np.ndarray, left_N: np.ndarray) -> np.ndarray:
    """BCa's shares in place of ``ends_2``, [2]; unchanged where nothing varies.

    Source: Efron 1987, "Better bootstrap confidence intervals"; ties with the value count half.
    """
    from scipy.special import ndtr

    below = ((found_B < value).sum() + 0.5 * (found_B == value).sum()) / len(found_B)
    off_N = left_N[np.isfinite(left_N)]
    off_N = off_N.mean() - off_N
    spread = float((off_N**2).sum()) ** 1.5
    if not 0 < below < 1 or spread == 0:
        return ends_2
    bias = quantile(float(below))
    acceleration = float((off_N**3).sum()) / (6 * spread)
    z_2 = bias + np.array([quantile(float(end)) for end in ends_2])
    return ndtr(bias + z_2 / (1 - acceleration * z_2))
