"""From scores to an answer: shares with intervals, failures as errors, and a row for each sample."""

import numpy as np
import pytest

from siglino_core.config import Task
from siglino_core.evaluation.results.result import PERMUTED
from siglino_core.evaluation.tasks.judged import answer, top1
from siglino_core.evaluation.tasks.labelled import split_of
from siglino_core.statistics.mean_recall import mean_recall_interval
from siglino_core.statistics.proportion import wilson
from tests.siglino_core.evaluation.tasks.made import check_samples, features, question

SCORES = np.array([[0.9, 0.1], [0.2, 0.3], [0.4, 0.1], [0.5, 0.5]])  # a, b, a, and a tie, which goes to a


def test_what_could_not_be_read_counts_as_wrong_everywhere() -> None:
    asked = question(features(["a", "b", "b", None, "b"], failed={"x": ("b", ()), "y": (None, ())}))
    split = split_of(asked, Task.KNN, learns=False)
    assert split is not None
    found = answer(asked, Task.KNN, "siglip2", split, SCORES, k=7)
    result = found.result
    assert (result.n, result.n_failed) == (5, 1)
    interval = wilson(2, 5)
    got = result.metrics["top1"]
    assert (got.value, got.low, got.high, got.n, got.method) == (0.4, interval.low, interval.high, 5, "wilson")
    assert result.headline[0] == "top1"
    recall = result.metrics["mean_recall"]
    assert recall.value == pytest.approx((1 + 1 / 4) / 2)
    expected = mean_recall_interval(np.array([1, 1, 0, 0, 0], bool), np.array([0, 1, 1, 1, 1]))
    assert (recall.low, recall.high, recall.n) == (expected.low, expected.high, 5)
    assert result.per_class == {"a": 1, "b": 0.25}
    assert result.parameters == {"k": 7, "classes": 2, "unlabelled": 2, "single": 0}
    assert check_samples([found]) == 1
    assert found.rows[1] == {
        "network": "student",
        "view": "siglip2",
        "metric": "top1",
        "sample_id": "test1",
        "image_id": "test-image1",
        "correct": 1.0,
        "score": 0.3,
        "predicted": "b",
        "label": "b",
    }
    assert [r["sample_id"] for r in found.rows] == ["test0", "test1", "test2", "test4", "x"]
    assert (found.rows[-1]["correct"], found.rows[-1]["image_id"], found.rows[-1]["label"]) == (0, "", "b")
    assert top1(split, SCORES).value == 0.4


def test_top5_is_told_of_five_classes_and_more() -> None:
    asked = question(features("abcde"))
    split = split_of(asked, Task.ZERO_SHOT, learns=False)
    assert split is not None
    scores = np.tile(np.arange(6.0)[:5], (5, 1))
    assert answer(asked, Task.ZERO_SHOT, "v", split, scores).result.metrics["top5"].value == 1
    four = question(features("abcd"))
    split = split_of(four, Task.ZERO_SHOT, learns=False)
    assert split is not None
    assert "top5" not in answer(four, Task.ZERO_SHOT, "v", split, np.eye(4)).result.metrics


def test_a_sanity_row_has_no_samples_and_permuted_labels_an_interval_by_class() -> None:
    asked = question(features("aabb"))
    split = split_of(asked, Task.KNN)
    assert split is not None
    found = answer(asked, Task.KNN, "v", split, SCORES, sanity=PERMUTED)
    assert (list(found.rows), found.result.per_class) == ([], {})
    assert found.result.metrics["top1"].method == "bootstrap, clustered by class"
    assert found.result.metrics["top1"].value == 0.25


def test_where_nothing_could_be_read_all_is_wrong() -> None:
    asked = question(features("", failed={"x": ("a", ()), "y": ("b", ())}))
    split = split_of(asked, Task.ZERO_SHOT, learns=False)
    assert split is not None
    for sanity in ("", PERMUTED):
        found = answer(asked, Task.ZERO_SHOT, "v", split, np.empty((0, 2)), sanity=sanity).result
        assert (found.n, found.n_failed, found.metrics["top1"].value, found.metrics["mean_recall"].value) == (
            2,
            2,
            0,
            0,
        )
