"""The mean's interval agrees with Student's t and covers the truth as often as it says."""

import math

import numpy as np
import pytest
from scipy import stats

from siglino_core.statistics.interval import Interval, _t975


@pytest.mark.parametrize("df", [1, 2, 5, 10, 11, 12, 20, 50, 1000])
def test_quantiles_of_t(df: int) -> None:
    assert _t975(df) == pytest.approx(stats.t.ppf(0.975, df), abs=1e-3)


def test_against_scipy() -> None:
    values = [3.0, 4.5, 1.0, 2.0, 9.0]
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    found = Interval.of(values)
    assert (found.mean, found.n) == (pytest.approx(3.9), 5)
    assert (found.low, found.high) == (pytest.approx(low, abs=2e-3), pytest.approx(high, abs=2e-3))


def test_few_or_none() -> None:
    assert Interval.of([2.0]) == Interval(mean=2.0, n=1)
    assert math.isnan(Interval.of([]).mean)
    same = Interval.of([1.0, 1.0])
    assert (same.low, same.high) == (1.0, 1.0)


def test_repeats_that_agree_are_a_step_apart_at_least() -> None:
    found = Interval.of([0.5, 0.5], step=0.01)
    assert (found.high or 0) - found.mean == pytest.approx(12.706 * 0.01 / 2**0.5)
    assert Interval.of([0.1, 0.9], step=0.01) == Interval.of([0.1, 0.9])


def test_coverage() -> None:
    draws = np.random.default_rng(0).normal(size=(4000, 5))
    found = [Interval.of(row) for row in draws]
    assert np.mean([i.low < 0 < i.high for i in found]) == pytest.approx(0.95, abs=0.015)
