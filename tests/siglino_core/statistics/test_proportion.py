"""Wilson's interval agrees with scipy's, at the ends too, and the spec's half-widths come out."""

import math

import pytest
from scipy.stats import binomtest

from siglino_core.errors import DataError
from siglino_core.statistics.proportion import wilson


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (940, 1880), (49_999, 50_000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_against_scipy(hits: int, n: int, level: float) -> None:
    expected = binomtest(hits, n).proportion_ci(level, method="wilson")
    found = wilson(hits, n, level=level)
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=1e-12), pytest.approx(expected.high, abs=1e-12))
    assert (found.mean, found.n) == (hits / n, n)


def test_ends_are_exact() -> None:
    none, all_ = wilson(0, 3), wilson(3, 3)
    assert (none.low, all_.high) == (0.0, 1.0)
    assert none.high == pytest.approx(0.5615, abs=1e-4)  # z^2 / (n + z^2)
    assert all_.low == pytest.approx(1 - 0.5615, abs=1e-4)


def test_of_nothing_anything() -> None:
    found = wilson(0, 0)
    assert math.isnan(found.mean)
    assert (found.low, found.high, found.n) == (0.0, 1.0, 0)


@pytest.mark.parametrize(("hits", "n"), [(-1, 3), (4, 3), (1, 0)])
def test_impossible_counts(hits: int, n: int) -> None:
    with pytest.raises(DataError, match=f"{hits} hits of {n}"):
        wilson(hits, n)
