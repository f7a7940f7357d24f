"""kNN: golden votes, every view and ensemble, what is left out and said, and sanity rows."""

import numpy as np
import pytest

from siglino_core.config import EvaluateConfig, Task
from siglino_core.errors import DataError
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.results.result import CHANCE, CONSTANT, MAJORITY, PERMUTED
from siglino_core.evaluation.tasks.ensembles import CALIBRATED, CONCAT, ORACLE, SIGLINO
from siglino_core.evaluation.tasks.knn import knn
from tests.siglino_core.evaluation.tasks.made import by_view, check_samples, features, question


def line(labels: str, angles: list[float], split: str, network: str = "teacher", **more: object) -> Features:
    rows = np.stack([np.cos(angles), np.sin(angles)], 1) * 3
    return features(list(labels), {"v": rows.astype(np.float32)}, split=split, network=network, **more)


def test_the_nearest_train_samples_vote() -> None:
    train = line("aabb", [0.0, 0.2, 1.0, 1.1], "train")
    test = line("aabbb", [0.1, 0.7, 0.9, 0.55, 1.3], "test")  # 0.7 is nearer to b: 1.0 and 1.1 against 0.2
    answers = list(knn(question(test, train)))
    found = by_view(answers)
    assert found.keys() == {("v", ""), ("v", PERMUTED), ("v", CONSTANT), ("v", CHANCE)}
    result = found["v", ""]
    # 0.55 is between: 0.2 is 0.35 away and 1.0 is 0.45, so that a wins by its weight
    assert [row["predicted"] for row in answers[0].rows] == ["a", "b", "b", "a", "b"]
    assert result.metrics["top1"].value == 0.6
    assert result.metrics["top1 (k=1)"].value == 0.6
    assert result.metrics["mean_recall"].value == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert answers[0].rows[0]["score"] == pytest.approx(2 * np.exp((np.cos(0.1) - 1) / 0.07), rel=1e-5)
    assert result.parameters | {"k": 2, "temperature": 0.07, "learned_from": "4 train samples"} == result.parameters
    assert check_samples(answers) == 1
    # all neighbours are equal: the first two, both of a
    assert found["v", CONSTANT].metrics["top1"].value == 0.4
    assert found["v", CHANCE].metrics["top1"].value == 0.4
    assert found["v", CHANCE].metrics[MAJORITY].value == 0.6


def test_more_neighbours_than_most_classes_have_are_told() -> None:
    angles = [0.0, 0.2, 1.0, 1.1]
    few = question(line("aabb", angles, "test"))  # one other each, and k is 2
    list(knn(few))
    assert few.passed == [
        "knn on made by teacher: 4 of 4 test images have fewer than k = 2 others of their class, so that weak features "
        "are below chance, each left out in its turn. Set train, or a smaller evaluate.k"
    ]
    enough = [
        question(line("aabb", angles, "test"), settings=EvaluateConfig(k=[1])),
        question(line("aaab", [*angles[:3], 1.1], "test")),  # of three, each has two others; b is alone, and not asked
        question(line("aabb", angles, "test"), line("ab", [0.0, 1.0], "train")),
    ]
    for asked in enough:
        list(knn(asked))
        assert asked.passed == []


def test_test_images_among_the_learned_are_in_every_result() -> None:
    train = line("aabb", [0.0, 0.2, 1.0, 1.1], "train", image_ids=["i", "j", "k", "l"])
    asked = question(line("ab", [0.0, 0.9], "test", image_ids=["i", "m"]), train)
    assert {r.parameters["copies"] for r in by_view(knn(asked)).values()} == {1}
    assert len(asked.passed) == 1


def test_without_a_train_split_each_sample_is_left_out_in_its_turn() -> None:
    test = line("aabbc", [0.0, 0.2, 1.0, 1.1, 0.05], "test")
    asked = question(test)
    found = by_view(knn(asked))["v", ""]
    assert (found.n, found.metrics["top1 (k=1)"].value) == (4, 1)
    assert found.parameters["learned_from"] == "each left out in its turn"
    assert found.parameters["single"] == 1
    assert len(asked.passed) == 1
    assert "4 of 4 test images have fewer than k = 2 others" in asked.passed[0]


def test_k_is_clipped_and_said() -> None:
    asked = question(line("ab", [0, 1], "test"), line("aab", [0, 0.1, 1], "train"), settings=EvaluateConfig(k=[20]))
    assert by_view(knn(asked))["v", ""].parameters["k"] == 3


def student(**more: object) -> tuple[list, list[str]]:
    labels = [*"abcd"] * 6
    asked = question(
        features(labels, noise=0.3, seed=1), features(labels * 2, noise=0.3, seed=2, split="train"), **more
    )
    return list(knn(asked)), asked.passed


def test_every_view_of_a_student_and_three_ways_to_join_its_heads() -> None:
    answers, passed = student()
    found = by_view(answers)
    views = ["siglino", "siglino_mean", "siglip2", "dinov3", SIGLINO, CALIBRATED, CONCAT]
    assert [view for view, sanity in found if not sanity] == views
    assert {(view, sanity) for view, sanity in found if sanity} == {
        ("siglino", PERMUTED),
        ("siglino", CONSTANT),
        ("siglino", CHANCE),
    }
    assert passed == []
    assert check_samples(answers) == len(views)
    assert all(found[view, ""].n == 24 for view in views)
    correct = {a.result.view: [row["correct"] for row in a.rows] for a in answers if not a.result.sanity}
    either = np.maximum(correct["siglip2"], correct["dinov3"]).mean()
    assert found[SIGLINO, ""].metrics[ORACLE].value == either
    assert either >= max(found[v, ""].metrics["top1"].value for v in ("siglip2", "dinov3"))
    assert found[CONCAT, ""].parameters["heads"] == ["siglip2", "dinov3"]
    calibration = found[CALIBRATED, ""].parameters["calibration"]
    assert 0 < calibration["n"] < 48, "fitted to a part of the train split"
    for view in views:
        recall = found[view, ""].metrics["mean_recall"]
        assert recall.low is not None
        assert recall.low <= recall.value <= recall.high


def test_one_vector_of_both_heads_adds_their_cosines() -> None:
    turn = lambda angles: np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)  # noqa: E731
    # to the first sample x says b is nearest (0.3 against 0.5), y says a (0.1 against 2): together a
    train = features("ab", {"siglino": np.eye(2), "x": turn([0.5, 0.3]), "y": 9 * turn([0.1, 2.0])}, split="train")
    test = features("a", {"siglino": np.eye(2)[:1], "x": turn([0.0]), "y": turn([0.0])})
    answers = list(knn(question(test, train, settings=EvaluateConfig(k=[1]))))
    found = {a.result.view: a.rows[0] for a in answers if not a.result.sanity}
    assert (found["x"]["predicted"], found["y"]["predicted"], found[CONCAT]["predicted"]) == ("b", "a", "a")
    cosine = (np.cos(0.5) + np.cos(0.1)) / 2
    assert found[CONCAT]["score"] == pytest.approx(np.exp((cosine - 1) / 0.07), rel=1e-4)


def test_what_cannot_be_calibrated_is_said() -> None:
    asked = question(features([*"aabb"]))
    found = by_view(knn(asked))
    assert (CALIBRATED, "") not in found
    assert (SIGLINO, "") in found
    assert asked.passed[1:] == [
        "knn on made by student: no ensemble (calibrated): there is no train split to fit its temperatures to"
    ]
    alone = question(features([*"aabb"]), features("ab", split="train"), tasks=(Task.KNN,))
    assert (CALIBRATED, "") not in by_view(knn(alone))
    assert "no class has two train samples" in alone.passed[0]


def test_failures_count_in_every_row() -> None:
    failed = {"x": ("a", ()), "y": (None, ())}
    test, train = features([*"aabb", None], failed=failed), features([*"aabb"], split="train")
    answers = list(knn(question(test, train)))
    assert all((a.result.n, a.result.n_failed) == (5, 1) for a in answers)
    assert by_view(answers)["siglip2", ""].metrics["top1"].value == 0.8
    assert by_view(answers)["siglip2", ""].metrics["top1 (k=1)"].value == 0.8
    assert all(row["correct"] == 0 for a in answers for row in a.rows if row["sample_id"] == "x")
    assert check_samples(answers) == 7


def test_permuted_labels_are_at_chance() -> None:
    labels = [*"abcde"] * 40
    test, train = features(labels, noise=0.1, seed=1), features(labels, noise=0.1, seed=2, split="train")
    found = by_view(knn(question(test, train, settings=EvaluateConfig(k=[20]))))
    assert found["siglino", ""].metrics["top1"].value > 0.95
    permuted = found["siglino", PERMUTED].metrics["top1"]
    assert permuted.low is not None
    assert permuted.low <= 0.2
    assert permuted.value < 0.5
    assert found["siglino", CHANCE].metrics["top1"].value == 0.2


def test_labels_in_one_split_alone_are_passed_over_or_refused() -> None:
    asked = question(features("ab"), features([None, None], split="train"))
    assert list(knn(asked)) == []
    assert asked.passed == ["knn on made by student: no train sample has a label"]
    with pytest.raises(DataError, match="no train sample has a label"):
        list(knn(question(features("ab"), features([None], split="train"), tasks=(Task.KNN,))))


def test_where_nothing_could_be_read_all_is_wrong() -> None:
    empty = features("", failed={"x": ("a", ())})
    found = by_view(knn(question(empty, features([*"aabb"], split="train"))))
    assert found["siglip2", ""].metrics["top1"].value == 0
    assert found["siglip2", ""].n == 1


def test_left_out_a_sample_does_not_vote_for_itself() -> None:
    each_beside_another_class = line("abab", [0.0, 0.1, 1.0, 1.1], "test")
    found = by_view(knn(question(each_beside_another_class)))["v", ""]
    assert found.metrics["top1 (k=1)"].value == 0
