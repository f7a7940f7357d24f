"""Trainings that differ by their seed alone: the mean of their differences, how sure it is, and what could be seen.

Legend: N seeds, Q quantiles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from siglino_core.errors import DataError

LEVEL, POWER = 0.95, 0.8
QUANTILES = 20_000  # of chi-squared, over which a test's power is averaged


@dataclass(frozen=True, kw_only=True)
class OverSeeds:
    """The mean of paired differences over seeds.

    Attributes:
        low, high: Student's 95% interval; None with fewer than two seeds.
        detectable: the smallest true mean difference that so many seeds with this spread would find 4 times in 5; None
            likewise.
        n: seeds.
    """

    mean: float
    low: float | None
    high: float | None
    detectable: float | None
    n: int


def over_seeds(differences: Sequence[float], *, step: float = 0.0) -> OverSeeds:
    """What differences of pairs that share a seed say.

    Args:
        differences: one a seed.
        step: the finest that a value is known, such as 1 / n of a share of n answers. The spread over seeds is taken to
            be no less: three seeds whose differences happen to be equal are not sure of anything finer.

    Raises:
        DataError: there are none, or one is not finite.
    """
    values_N = np.asarray(differences, np.float64)
    if values_N.ndim != 1 or not len(values_N) or not np.isfinite(values_N).all():
        raise DataError(f"differences over seeds {list(differences)}: finite numbers are needed, one a seed")
    n, mean = len(values_N), float(values_N.mean())
    if n < 2:
        return OverSeeds(mean=mean, low=None, high=None, detectable=None, n=n)
    error = max(float(values_N.std(ddof=1)), step) / n**0.5
    half = _critical(n - 1) * error
    return OverSeeds(mean=mean, low=mean - half, high=mean + half, detectable=detectable_factor(n) * error, n=n)


@lru_cache
def detectable_factor(n: int, *, power: float = POWER, level: float = LEVEL) -> float:
    """How many standard errors from 0 a true mean is that a t-test of ``n`` values finds ``power`` of the time.

    It is 5.65 for three values, 3.27 for eight, 2.80 for very many. A t-test's power is that of a normal test whose
    standard error is drawn: its mean over the quantiles of chi-squared is taken, since libraries' noncentral t gives
    no number far out.

    Raises:
        DataError: fewer than two values.
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr
    from scipy.stats import chi2

    if n < 2:
        raise DataError(f"{n} seeds: a spread needs two")
    shares_Q = (np.arange(QUANTILES) + 0.5) / QUANTILES
    limit_Q = _critical(n - 1, level) * np.sqrt(chi2.ppf(shares_Q, n - 1) / (n - 1))

    def short(shift: float) -> float:
        return float((ndtr(shift - limit_Q) + ndtr(-shift - limit_Q)).mean()) - power

    found: Any = brentq(short, 0.0, 10.0 + 10.0 * _critical(n - 1, level))
    return float(found)


@lru_cache
def _critical(df: int, level: float = LEVEL) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, df))
