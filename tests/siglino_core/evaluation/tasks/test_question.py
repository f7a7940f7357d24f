"""Questions: which views are joined, what is passed over, and what all results have alike."""

import numpy as np
import pytest

from siglino_core.config import Task
from siglino_core.errors import DataError
from siglino_core.evaluation.results.result import Metric
from siglino_core.evaluation.tasks.question import metric, plainly
from siglino_core.statistics.interval import Interval
from tests.siglino_core.evaluation.tasks.made import axis, features, question


def test_a_students_two_heads_are_joined_and_no_other_networks_views() -> None:
    student = question(features("ab"), texts={"siglip2": axis(8), "dinotxt": axis(10)})
    assert student.heads == ("siglip2", "dinov3")
    assert student.text_heads == ("siglip2", "dinotxt")
    stored = {view: np.eye(2) for view in ("dinotxt", "dinov3", "siglino", "siglino_mean", "siglip2")}
    assert question(features("ab", stored)).heads == ("dinov3", "siglip2"), "dino.txt on a head is no head"
    teacher = question(features("ab", {"siglip2": np.eye(2), "more": np.eye(2)}), texts={"siglip2": axis(2)})
    assert teacher.heads is None
    assert teacher.text_heads is None
    one = question(features("ab", {"siglino": np.eye(2), "siglino_mean": np.eye(2), "siglip2": np.eye(2)}))
    assert one.heads is None


def test_what_is_passed_over_is_noted_and_refused_where_it_was_asked_for_by_name() -> None:
    asked = question(features("ab"), tasks=(Task.KNN,))
    asked.skip(Task.ZERO_SHOT, "no view has a text side")
    assert asked.passed == ["zero shot on made by student: no view has a text side"]
    with pytest.raises(DataError, match=r"^knn on made by student: no labels\. Leave knn out of .*tasks, or"):
        asked.skip(Task.KNN, "no labels")
    asked.note(Task.KNN, "a part of it")
    assert asked.passed[1:] == ["knn on made by student: a part of it"]


def test_test_images_that_are_learned_from_too_are_told() -> None:
    test = features("abc", image_ids=["x", "y", "x"])
    asked = question(test, features("ab", split="train", image_ids=["x", "z"]))
    assert asked.tell_copies(Task.KNN) == {"copies": 2}
    said = "byte by byte, so that they find themselves: they count all the same"
    assert asked.passed == [f"knn on made by student: 2 of 3 test images are in its train split too, {said}"]
    alone = question(test)
    assert alone.tell_copies(Task.KNN) == {"copies": 2}
    assert alone.passed == [f"knn on made by student: 2 of 3 test images are several times in the test split, {said}"]
    apart = question(features("ab"), features("ab", split="train"))
    assert (apart.tell_copies(Task.KNN), apart.passed) == ({}, [])
    assert question(features("ab")).tell_copies(Task.KNN) == {}


def test_a_result_says_whose_it_is_and_that_it_is_of_a_part() -> None:
    result = question(features("ab"), limit=2).result(Task.KNN, "siglip2", {"top1": Metric(value=1, n=2)}, n=2, k=3)
    assert (result.task, result.dataset, result.split) == ("knn", "made", "test")
    assert result.parameters == {"k": 3, "limit": 2}
    assert result.hashes == {"network": "n", "split": "s", "features": "f"}
    assert "limit" not in question(features("ab")).result(Task.KNN, "v", {}, n=0).parameters


def test_names_are_spoken_without_underscores() -> None:
    assert plainly(["golden_retriever", "a", "__", " x__y "]) == ["golden retriever", "a", "__", "x y"]


def test_an_interval_becomes_a_metric() -> None:
    found = metric(Interval(mean=0.5, low=0.4, high=0.6, n=7), "wilson")
    assert found == Metric(value=0.5, low=0.4, high=0.6, n=7, method="wilson")
    assert metric(Interval(mean=0.5, n=7), "", 9).n == 9
