"""Means over data sets and mean places: by hand, and as SciPy ranks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from siglino_core.evaluation.results.averages import averages, places
from siglino_core.evaluation.results.result import Metric
from tests.siglino_core.evaluation.made import metric


def test_by_hand() -> None:
    rows = {"a": [metric(0.8), metric(0.4)], "b": [metric(0.6), metric(0.4)], "c": [metric(0.7), metric(0.1)]}
    found = averages(rows)
    assert found["a"].mean.value == pytest.approx(0.6)
    assert [found[r].rank for r in "abc"] == [(1 + 1.5) / 2, (3 + 1.5) / 2, (2 + 3) / 2]
    # two independent halves of 0.02: sqrt(2) * 0.02 / 2
    assert found["a"].mean.high is not None
    assert found["a"].mean.high - found["a"].mean.value == pytest.approx(0.0141421356)
    assert found["a"].mean.n == 2


def test_without_an_interval_there_is_none() -> None:
    found = averages({"a": [metric(0.8), Metric(value=0.5, n=3)]})["a"]
    assert (found.mean.low, found.mean.high, found.mean.method) == (None, None, "")


def test_of_nothing() -> None:
    assert averages({}) == {}


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 3)), elements=st.sampled_from([0, 0.5, 1]))
)
def test_places_are_scipys(values: np.ndarray) -> None:
    stats = pytest.importorskip("scipy.stats")
    np.testing.assert_array_equal(places(values), stats.rankdata(-values, axis=0))
