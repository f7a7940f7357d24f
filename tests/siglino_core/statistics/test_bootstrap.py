"""Bootstrap intervals agree with scipy's and with formulas, know groups, and are the same for the same seed."""

import numpy as np
import pytest
from scipy import stats

from siglino_core.errors import DataError
from siglino_core.statistics.bootstrap import (
    clustered_standard_error,
    mean_interval,
    mean_iou,
    ratio,
    statistic_interval,
)

CLUSTERS = np.repeat(np.arange(10), 5)
EQUAL = np.repeat([0.0, 1.0] * 5, 5)  # 10 groups of 5 equal answers


def test_clustered_standard_error_as_measured() -> None:
    assert clustered_standard_error(EQUAL, CLUSTERS) == pytest.approx(0.1584, abs=5e-5)
    assert clustered_standard_error(EQUAL) == pytest.approx(0.0714, abs=5e-5)


def test_standard_error_without_groups_is_the_usual_one() -> None:
    values = np.random.default_rng(0).normal(size=40)
    assert clustered_standard_error(values) == pytest.approx(stats.sem(values))
    assert clustered_standard_error(values, np.arange(40)) == pytest.approx(stats.sem(values))
    assert np.isnan(clustered_standard_error(values[:1]))


@pytest.mark.parametrize("bca", [True, False])
def test_mean_against_scipy(bca: bool) -> None:
    values = np.random.default_rng(1).exponential(size=60)
    method = "BCa" if bca else "percentile"
    rng = np.random.default_rng(2)
    expected = stats.bootstrap((values,), np.mean, n_resamples=20_000, method=method, rng=rng).confidence_interval
    found = mean_interval(values, draws=20_000, bca=bca)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == (pytest.approx(expected.low, abs=0.012), pytest.approx(expected.high, abs=0.012))


def test_corrected_and_percentiles_differ_on_skewed_samples() -> None:
    values = np.random.default_rng(1).exponential(size=60)
    plain, corrected = mean_interval(values, bca=False), mean_interval(values)
    assert plain.high is not None
    assert corrected.high is not None
    assert corrected.high - plain.high > 0.02


def test_equal_answers_of_a_group_widen_the_interval() -> None:
    alone, grouped = mean_interval(EQUAL), mean_interval(EQUAL, CLUSTERS)
    assert alone.high is not None
    assert grouped.high is not None
    assert alone.mean == grouped.mean == 0.5
    assert alone.n == grouped.n == 50
    assert alone.high - 0.5 == pytest.approx(1.96 * 0.0707, abs=0.02)
    assert grouped.high - 0.5 == pytest.approx(1.96 * 0.158, abs=0.04)


def test_mean_iou_leaves_out_a_class_that_is_nowhere() -> None:
    sums = np.array([[1.0, 2, 0, 2, 4, 0], [0, 0, 0, 2, 0, 0], [0, 0, 0, 0, 0, 0]])
    found = mean_iou(sums)
    assert found[:2] == pytest.approx([0.5, 0.0])
    assert np.isnan(found[2])


def test_cumulative_iou() -> None:
    rows = np.array([[90.0, 100], [0, 10]])  # cIoU 0.818, where the mean of the two is 0.45
    found = statistic_interval(rows, ratio)
    assert found.mean == pytest.approx(90 / 110)
    assert found.low is not None
    assert found.low == pytest.approx(0.0, abs=0.01)


def test_statistic_covers_the_truth() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(100):
        union = rng.integers(50, 150, size=(80, 1)).astype(float)
        inter = rng.binomial(union.astype(int), rng.beta(4, 4, size=(80, 1))).astype(float)
        found = statistic_interval(np.concatenate([inter, union], 1), mean_iou, draws=300, seed=seed)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.5 <= found.high
    assert 87 <= hits <= 99


def test_seed() -> None:
    values = np.random.default_rng(0).random(50)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_one_sample_or_group_has_no_interval() -> None:
    one = mean_interval(np.array([0.25]))
    assert (one.mean, one.low, one.high, one.n) == (0.25, None, None, 1)
    group = mean_interval(np.array([0.0, 1.0]), np.array([7, 7]))
    assert (group.mean, group.low, group.n) == (0.5, None, 2)


def test_nothing_varies() -> None:
    same = mean_interval(np.ones(9))
    assert (same.mean, same.low, same.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "groups", "says"),
    [
        ([], None, "at least 1"),
        ([1.0, np.nan], None, "sample 1 .* not finite"),
        ([1.0, 2.0], [0], "2 samples: each sample needs one group"),
    ],
)
def test_refused(values: list[float], groups: list[int] | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        mean_interval(np.array(values), None if groups is None else np.array(groups))


def test_nothing_to_divide_by() -> None:
    with pytest.raises(DataError, match="nothing to divide by"):
        statistic_interval(np.zeros((3, 2)), ratio)
