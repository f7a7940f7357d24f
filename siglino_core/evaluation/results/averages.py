"""The mean of a row over data sets and its mean place among the rows, of rows that have the same data sets.

Legend: V rows, D data sets.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from siglino_core.evaluation.results.result import Metric

Row = TypeVar("Row", bound=Hashable)
Z = 1.959963984540054  # the standard normal's 97.5% quantile
METHOD = "of independent data sets, from their intervals"


@dataclass(frozen=True, kw_only=True)
class Averages:
    """Of one row.

    Attributes:
        mean: every data set counts the same, whatever its size; ``n`` is how many they are.
        rank: its mean place, 1 is the best; equal values share the mean of their places.
    """

    mean: Metric
    rank: float


def averages(rows: Mapping[Row, Sequence[Metric]]) -> dict[Row, Averages]:
    """The averages of rows of D metrics each, over the same data sets in the same order; higher is better."""
    if not rows:
        return {}
    values_VD = np.array([[m.value for m in metrics] for metrics in rows.values()], np.float64)
    ranks_V = places(values_VD).mean(1)
    return {
        row: Averages(mean=_mean(metrics), rank=float(rank))
        for (row, metrics), rank in zip(rows.items(), ranks_V, strict=True)
    }


def places(values_VD: np.ndarray) -> np.ndarray:
    """Each value's place in its column, the highest first, fp64 [V, D]; ties share the mean of their places."""
    higher_VD = (values_VD[None] > values_VD[:, None]).sum(1)
    equal_VD = (values_VD[None] == values_VD[:, None]).sum(1)
    return higher_VD + (equal_VD + 1) / 2


def _mean(metrics: Sequence[Metric]) -> Metric:
    """The mean and the interval that the data sets' own give it; none where one has none."""
    value = float(np.mean([m.value for m in metrics]))
    variance = 0.0
    for m in metrics:
        if m.low is None or m.high is None:
            return Metric(value=value, n=len(metrics))
        variance += ((m.high - m.low) / (2 * Z)) ** 2
    half = Z * variance**0.5 / len(metrics)
    return Metric(value=value, low=value - half, high=value + half, n=len(metrics), method=METHOD)
