"""Differences over seeds: the interval holds what it should, and what is called detectable is found 4 times in 5."""

import numpy as np
import pytest
from scipy import stats

from siglino_core.errors import DataError
from siglino_core.statistics.seeds import detectable_factor, over_seeds


def shown(differences_RN: np.ndarray, step: float = 0.0) -> float:
    """The share of rows whose interval leaves out 0."""
    found = [over_seeds(row, step=step) for row in differences_RN.tolist()]
    return float(np.mean([f.low is not None and f.high is not None and (f.low > 0 or f.high < 0) for f in found]))


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_it_is_students_interval(n: int) -> None:
    values = np.random.default_rng(n).normal(1.0, 2.0, n)
    found = over_seeds(values.tolist())
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.mean, found.low, found.high, found.n) == pytest.approx((values.mean(), low, high, n))


@pytest.mark.parametrize("n", [2, 3, 8])
def test_without_a_difference_one_in_twenty_shows_one(n: int) -> None:
    rng = np.random.default_rng(0)
    assert shown(rng.normal(0.0, 1.3, (4000, n))) == pytest.approx(0.05, abs=0.011)


def test_equal_differences_of_few_answers_are_not_sure() -> None:
    rng = np.random.default_rng(1)
    rounded = np.round(rng.normal(0.0, 0.3, (4000, 3)))  # in whole answers: most are 0, and many rows are all alike
    assert shown(rounded, step=1.0) < 0.05
    alike = over_seeds([1.0, 1.0, 1.0], step=1.0)
    assert alike.low is not None
    assert alike.low < 0
    assert over_seeds([30.0, 30.0, 30.0], step=1.0).low == pytest.approx(30 - 4.303 / 3**0.5, abs=1e-3)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_detectable_difference_is_found_four_times_in_five(n: int) -> None:
    rng = np.random.default_rng(2)
    true = detectable_factor(n) * 0.7 / n**0.5
    assert shown(rng.normal(-true, 0.7, (4000, n))) == pytest.approx(0.8, abs=0.02)


def test_the_detectable_difference_is_in_the_units_of_the_values() -> None:
    found = over_seeds([1.0, 2.0, 4.0])
    error = np.std([1.0, 2.0, 4.0], ddof=1) / 3**0.5
    assert found.detectable == pytest.approx(5.6535 * error, rel=1e-3)
    assert detectable_factor(2000) == pytest.approx(2.8, abs=0.01)


def test_one_seed_has_no_interval() -> None:
    found = over_seeds([0.3])
    assert (found.mean, found.low, found.high, found.detectable) == (0.3, None, None, None)


@pytest.mark.parametrize("values", [[], [float("nan"), 1.0], [float("inf")]])
def test_no_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(DataError, match="finite numbers are needed"):
        over_seeds(values)
    with pytest.raises(DataError, match="needs two"):
        detectable_factor(1)
