"""Mean recall: the value is inside its interval, and the interval holds the truth as often as it says."""

import numpy as np
import pytest

from siglino_core.errors import DataError
from siglino_core.statistics.mean_recall import mean_recall_interval
from siglino_core.statistics.proportion import wilson


def test_classes_as_hard_and_as_large_are_one_share() -> None:
    labels = np.repeat(np.arange(4), 250)
    correct = np.tile(np.arange(250) < 100, 4)
    found, expected = mean_recall_interval(correct, labels), wilson(400, 1000)
    assert found.mean == pytest.approx(0.4)
    assert found.n == 1000
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=2e-4)


@pytest.mark.parametrize("right", [0, 1])
def test_all_is_right_or_nothing(right: int) -> None:
    found, expected = mean_recall_interval(np.full(60, right), np.arange(60) % 6), wilson(60 * right, 60)
    assert (found.mean, found.low, found.high) == pytest.approx((right, expected.low, expected.high))


def test_one_class_is_named_for_all() -> None:
    """A bootstrap of samples said 1.35% to 1.59% of a value of 1.23%: classes of one sample are often not drawn."""
    labels = np.repeat(np.arange(81), [200, *[1] * 80])
    found = mean_recall_interval(labels == 0, labels)
    assert found.mean == pytest.approx(1 / 81)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean < found.high


@pytest.mark.parametrize(("classes", "n", "share"), [(3, 36, 0.95), (40, 300, 0.5), (40, 300, 0.05)])
def test_coverage(classes: int, n: int, share: float) -> None:
    rng = np.random.default_rng(classes)
    weights = 1 / np.arange(1, classes + 1) if classes > 3 else np.ones(classes)
    held, times = 0, 300
    for _ in range(times):
        labels = rng.choice(classes, p=weights / weights.sum(), size=n)
        found = mean_recall_interval(rng.random(n) < share, labels)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= share <= found.high
    assert held / times >= 0.92


def test_of_little() -> None:
    one = mean_recall_interval(np.array([True]), np.array([3]))
    assert (one.mean, one.low, one.n) == (1.0, None, 1)
    with pytest.raises(DataError, match="one each"):
        mean_recall_interval(np.ones(2, bool), np.zeros(3, int))
