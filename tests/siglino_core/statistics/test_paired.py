"""Paired tests agree with scipy's, keep their error rate, and say how small a difference can be seen."""

import numpy as np
import pytest
from scipy import stats

from siglino_core.errors import DataError
from siglino_core.statistics.bootstrap import mean_iou
from siglino_core.statistics.paired import (
    detectable_paired,
    detectable_proportions,
    holm,
    mcnemar,
    paired_difference,
    paired_statistic,
)


def _answers(won: int, lost: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.array([False] * won + [True] * lost + [True] * both)
    second = np.array([True] * won + [False] * lost + [True] * both)
    return first, second


def test_mcnemar_by_hand() -> None:
    assert mcnemar(*_answers(5, 1, 100)) == pytest.approx(14 / 64)  # 2 * (1 + 6) / 2^6
    assert mcnemar(*_answers(3, 3, 0)) == 1.0
    assert mcnemar(*_answers(0, 0, 9)) == 1.0
    assert mcnemar(*_answers(12, 0, 2)) == pytest.approx(2 / 2**12)


def test_mcnemar_is_symmetric() -> None:
    first, second = _answers(9, 2, 5)
    assert mcnemar(first, second) == mcnemar(second, first)


def test_difference_against_t() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=200)
    second = first + 0.06 + rng.normal(scale=0.4, size=200)
    found = paired_difference(first, second, draws=10_000)
    expected = stats.ttest_rel(second, first)
    interval = expected.confidence_interval()
    assert found.difference == pytest.approx((second - first).mean())
    assert (found.low, found.high) == (pytest.approx(interval.low, abs=0.01), pytest.approx(interval.high, abs=0.01))
    assert found.p == pytest.approx(expected.pvalue, abs=0.015)


def test_p_is_uniform_without_a_difference() -> None:
    rng = np.random.default_rng(1)
    p = [paired_difference(rng.normal(size=60), rng.normal(size=60), draws=300, seed=i).p for i in range(300)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(np.array(p) < 0.5) == pytest.approx(0.5, abs=0.1)


def test_groups_make_a_difference_less_sure() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(12), 10)
    second = np.repeat(rng.normal(0.3, 0.6, size=12), 10)
    alone = paired_difference(np.zeros(120), second)
    grouped = paired_difference(np.zeros(120), second, groups)
    assert alone.difference == pytest.approx(grouped.difference)
    assert alone.low is not None
    assert grouped.low is not None
    assert grouped.low < alone.low
    assert grouped.p > alone.p


def test_few_samples_cannot_be_sure() -> None:
    assert paired_difference(np.zeros(3), np.ones(3)).p == 0.25
    one = paired_difference(np.zeros(4), np.ones(4), np.zeros(4))
    assert (one.difference, one.low, one.high, one.p) == (1.0, None, None, 1.0)


def test_no_difference() -> None:
    same = paired_difference(np.arange(5.0), np.arange(5.0))
    assert (same.difference, same.low, same.high, same.p) == (0.0, 0.0, 0.0, 1.0)


def test_difference_of_two_miou() -> None:
    rng = np.random.default_rng(3)
    union = rng.integers(50, 100, size=(60, 4)).astype(float)
    first = np.concatenate([np.floor(union * 0.5), union], 1)
    second = np.concatenate([np.floor(union * rng.uniform(0.5, 0.7, size=(60, 1))), union], 1)
    found = paired_statistic(first, second, mean_iou)
    sums = np.stack([first.sum(0), second.sum(0)])
    assert found.difference == pytest.approx(float(np.diff(mean_iou(sums))[0]))
    assert found.low is not None
    assert 0 < found.low < found.difference
    assert found.p < 0.01
    assert paired_statistic(second, first, mean_iou).difference == pytest.approx(-found.difference)


def test_not_the_same_samples() -> None:
    with pytest.raises(DataError, match="the same samples"):
        mcnemar(np.ones(2), np.ones(3))
    with pytest.raises(DataError, match="the same samples"):
        paired_difference(np.ones(2), np.ones(3))


def test_holm_by_hand() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert list(found) == ["a", "b", "c", "d"]
    assert found == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_refuses_what_is_no_p() -> None:
    with pytest.raises(DataError, match="p = nan of x"):
        holm({"x": float("nan")})


def test_detectable_difference_is_found_as_often_as_promised() -> None:
    rng = np.random.default_rng(4)
    smallest = detectable_paired(rng.normal(size=400))
    assert smallest == pytest.approx(2.8016 / 20, rel=0.1)
    p = [stats.ttest_1samp(rng.normal(2.8016 / 20, 1, size=400), 0).pvalue for _ in range(600)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.8, abs=0.06)


def test_detectable_difference_grows_with_groups() -> None:
    values = np.repeat([0.0, 1.0] * 5, 5)
    assert detectable_paired(values, np.repeat(np.arange(10), 5)) == pytest.approx(2.8016 * 0.1584, abs=2e-4)


def test_detectable_proportions() -> None:
    assert detectable_proportions(0.5, 1880, 1880) == pytest.approx(2.8016 * (0.25 * 2 / 1880) ** 0.5, rel=1e-4)
    with pytest.raises(DataError, match=r"a share of 1\.2"):
        detectable_proportions(1.2, 10, 10)
