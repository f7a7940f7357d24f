"""Two networks on the same samples: is the difference more than chance, and how small a one could be seen.

Legend: N samples, G groups, V values of a row, B draws.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.statistics.bootstrap import DRAWS, LEVEL, clustered_standard_error, ratio
from siglino_core.statistics.proportion import quantile
from siglino_core.statistics.resample import Statistic, as_rows, by_group, resampled


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The second's value minus the first's, its interval (None with fewer than two groups), and a two-sided p."""

    difference: float
    low: float | None
    high: float | None
    p: float
    n: int


def mcnemar(first: np.ndarray, second: np.ndarray) -> float:
    """The exact two-sided p of McNemar's test on which samples each got right; 1 where they agree on all.

    Args:
        first, second: bool [N], the same samples in the same order.

    Raises:
        DataError: not the same samples.

    Source: McNemar 1947, with the binomial in place of chi-squared.
    """
    from scipy.stats import binomtest

    first_N, second_N = _same(np.asarray(first, bool), np.asarray(second, bool))
    won, lost = int((second_N & ~first_N).sum()), int((first_N & ~second_N).sum())
    return float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """The mean of second - first over the same samples, by a paired bootstrap.

    Args:
        first, second: [N], numbers of the same samples in the same order.
        groups: [N]: whole groups are drawn.

    Raises:
        DataError: not the same samples, none, or some not finite.
    """
    first_N, second_N = _same(np.asarray(first, np.float64), np.asarray(second, np.float64))
    rows_G2 = by_group(as_rows(second_N - first_N), groups)
    return _difference(rows_G2, ratio, len(first_N), draws, seed, level)


def paired_statistic(
    first: np.ndarray,
    second: np.ndarray,
    statistic: Statistic,
    groups: np.ndarray | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """The statistic of the second's summed rows minus the first's, by a paired bootstrap, such as of two mIoU.

    Args:
        first, second: [N, V] of the same samples in the same order.
        statistic: from sums [B, V] to numbers [B].

    Raises:
        DataError: as :func:`paired_difference`.
    """
    first_NV, second_NV = _same(as_rows(first), as_rows(second))
    rows_GW = by_group(np.concatenate([first_NV, second_NV], 1), groups)[:, :-1]

    def both(sums_BW: np.ndarray) -> np.ndarray:
        first_BV, second_BV = np.split(sums_BW, 2, axis=1)
        return statistic(second_BV) - statistic(first_BV)

    return _difference(rows_GW, both, len(first_NV), draws, seed, level)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values corrected for being several, in the order given: below 0.05 is a finding at 0.05 over all of them.

    Raises:
        DataError: one that is not between 0 and 1.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise DataError(f"p = {p} of {name}: a p-value is between 0 and 1")
    corrected, highest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in p_values}


def detectable_paired(
    differences: np.ndarray, groups: np.ndarray | None = None, *, power: float = 0.8, level: float = LEVEL
) -> float:
    """The smallest true mean difference that a paired comparison would find ``power`` of the time; NaN of one sample.

    Args:
        differences: [N], one sample's each, of two networks that stand for those to come.
        groups: [N], samples that belong together.

    Raises:
        DataError: no samples, or some not finite.

    Source: Miller 2024, "Adding error bars to evals" (arXiv:2411.00640).
    """
    return _factor(power, level) * clustered_standard_error(differences, groups)


def detectable_proportions(
    share: float, first_n: int, second_n: int, *, power: float = 0.8, level: float = LEVEL
) -> float:
    """The smallest difference of two shares near ``share``, of separate samples, found ``power`` of the time.

    Raises:
        DataError: a share outside [0, 1] or no samples.
    """
    if not 0 <= share <= 1 or min(first_n, second_n) < 1:
        raise DataError(f"a share of {share} over {first_n} and {second_n} samples: it needs 0 to 1, and one each")
    return _factor(power, level) * (share * (1 - share) * (1 / first_n + 1 / second_n)) ** 0.5


def _factor(power: float, level: float) -> float:
    """How many standard errors a difference must have; 2.80 at 80% power and 95%."""
    return quantile((1 + level) / 2) + quantile(power)


def _difference(rows_GV: np.ndarray, statistic: Statistic, n: int, draws: int, seed: int, level: float) -> Difference:
    """Percentiles of the draws, and the p of the draws moved to no difference.

    G groups with the same sign could be chance with p = 2 ** (1 - G), so p never says less than that.
    """
    value = float(statistic(rows_GV.sum(0, keepdims=True))[0])
    if not np.isfinite(value):
        raise DataError("the statistic of all samples is not finite: it has nothing to divide by")
    if len(rows_GV) < 2:
        return Difference(difference=value, low=None, high=None, p=1.0, n=n)
    found_B = resampled(rows_GV, statistic, draws=draws, seed=seed)
    found_B = found_B[np.isfinite(found_B)]
    low, high = np.quantile(found_B, [(1 - level) / 2, (1 + level) / 2])
    off_B = np.abs(found_B - value)
    reached = off_B >= abs(value) * (1 - 1e-9)  # what is equal but for rounding is equal
    p = (1 + int(reached.sum())) / (1 + len(found_B))
    p = max(p, 2.0 ** (1 - min(len(rows_GV), 1000)))
    return Difference(difference=value, low=float(low), high=float(high), p=min(1.0, p), n=n)


def _same(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if first.shape != second.shape:
        raise DataError(f"samples of shapes {first.shape} and {second.shape}: a paired test needs the same samples")
    return first, second
