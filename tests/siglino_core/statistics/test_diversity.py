"""Balance: known histograms give known numbers, and random samples behave as their law says."""

import numpy as np
import pytest

from siglino_core.statistics.diversity import compare, effective_number, random_draws, rare_half


@pytest.mark.parametrize("k", [1, 2, 7, 1000])
def test_a_uniform_histogram_has_as_many_effective_classes(k: int) -> None:
    assert effective_number(np.full(k, 13)) == pytest.approx(k)
    assert effective_number(np.r_[np.full(k, 13), np.zeros(5, int)]) == pytest.approx(k)


def test_effective_number_of_others() -> None:
    assert effective_number(np.array([])) == effective_number(np.zeros(3)) == 0
    assert effective_number(np.array([1, 1, 2])) == pytest.approx(2**1.5)
    assert 1 < effective_number(np.array([1000, 1])) < 1.01


def test_the_rare_half() -> None:
    assert rare_half(np.array([5, 1, 9, 3])).tolist() == [False, True, False, True]
    assert rare_half(np.array([2, 2, 2])).tolist() == [True, False, False]  # ties by position, the odd one is common
    assert rare_half(np.array([4])).tolist() == [False]


def test_random_draws_are_hypergeometric() -> None:
    counts = np.array([700, 200, 90, 10])
    draws = random_draws(counts, 100, 3000, seed=1)
    assert (draws.sum(1) == 100).all()
    assert (draws <= counts).all()
    expected = counts / 10
    variance = expected * (1 - counts / 1000) * (900 / 999)  # narrower than drawing with replacement
    assert draws.mean(0) == pytest.approx(expected, abs=4 * np.sqrt(variance.max() / 3000))
    assert draws.var(0) == pytest.approx(variance, rel=0.1)
    assert np.array_equal(draws[:2], random_draws(counts, 100, 2, seed=1))
    assert not np.array_equal(draws[:2], random_draws(counts, 100, 2, seed=2))


def test_random_draws_of_all_and_of_billions() -> None:
    counts = np.array([3, 0, 2])
    assert random_draws(counts, 99, 2, 0).tolist() == [[3, 0, 2]] * 2
    huge = random_draws(np.array([3 * 10**9, 10**9]), 10**6, 5, 0)
    assert (huge.sum(1) == 10**6).all()
    assert huge.mean(0) == pytest.approx([750_000, 250_000], rel=0.01)


def test_compare_on_a_known_mixture() -> None:
    pool = {"a": 6000, "b": 3000, "c": 900, "d": 100, "": 10_000}
    candidates = {"a": 1000, "b": 1000, "c": 900, "d": 100, "": 1000}
    ours = [{"a": 100, "b": 100, "c": 100, "d": 100, "": 100}, {"a": 100, "b": 100, "c": 100, "d": 100, "": 100}]
    found = compare(pool, candidates, ours, 500, seeds=5, seed=0)
    assert list(found) == ["random", "duplicates removed, then random", "curated"]
    curated = found["curated"]
    assert curated["effective_labels"]["mean"] == pytest.approx(4)
    assert curated["rare_half_share"] == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 2}
    assert curated["labels_covered"]["mean"] == 4
    assert found["random"]["rare_half_share"]["mean"] == pytest.approx(0.1, abs=0.05)
    p = np.array([0.6, 0.3, 0.09, 0.01])
    assert found["random"]["effective_labels"]["mean"] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=0.1)
    middle = found["duplicates removed, then random"]["effective_labels"]["mean"]
    assert found["random"]["effective_labels"]["mean"] < middle < 4


def test_compare_without_labels_says_nothing() -> None:
    assert compare({"": 5}, {"": 4}, [{"": 3}], 3, 5, 0) == {}
