"""How sure a share of yes and no answers is: Wilson's interval."""

from statistics import NormalDist

from siglino_core.errors import DataError
from siglino_core.statistics.interval import Interval


def quantile(share: float) -> float:
    """The standard normal's quantile."""
    return NormalDist().inv_cdf(share)


def wilson(hits: int, n: int, *, level: float = 0.95) -> Interval:
    """The share ``hits / n`` and its Wilson score interval, which stays inside [0, 1] and has a width at 0 and n hits.

    Of nothing (n = 0) the share is NaN and the interval is (0, 1).

    Raises:
        DataError: hits are not between 0 and n.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if not 0 <= hits <= n:
        raise DataError(f"{hits} hits of {n}: a share needs 0 to {n} of them")
    if n == 0:
        return Interval(mean=float("nan"), low=0.0, high=1.0, n=0)
    z2 = quantile((1 + level) / 2) ** 2
    share = hits / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = (z2 * (share * (1 - share) / n + z2 / (4 * n * n))) ** 0.5 / (1 + z2 / n)
    # at the ends the formula gives 0 and 1 but for rounding
    low = 0.0 if hits == 0 else centre - half
    high = 1.0 if hits == n else centre + half
    return Interval(mean=share, low=low, high=high, n=n)
