"""A mean over repeats and its 95% interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over ``n`` repeats and its 95% interval; without one (n = 1, or no spread), low and high are None."""

    mean: float
    low: float | None = None
    high: float | None = None
    n: int = 1

    @classmethod
    def of(cls, values: Sequence[float], step: float = 0.0) -> "Interval":
        """Mean and Student-t 95% interval of repeats; NaN if there are none.

        Args:
            step: the least that a value can move by, such as one answer of a test; the spread is taken to be that at
                least. Repeats that agree show that it is below a step, and not that there is none.
        """
        n = len(values)
        mean = float(np.mean(values)) if n else float("nan")
        if n < 2:
            return cls(mean=mean, n=n)
        half = _t975(n - 1) * max(step, float(np.std(values, ddof=1))) / n**0.5
        return cls(mean=mean, low=mean - half, high=mean + half, n=n)


def _t975(df: int) -> float:
    """The 97.5% quantile of Student's t (Cornish-Fisher beyond the table; error under 0.001)."""
    table = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
    if df <= len(table):
        return table[df - 1]
    z = 1.959964
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3)
    return z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2) + third
