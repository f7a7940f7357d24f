"""Zero-shot: golden answers, what texts say, ensembles, calibration, and sanity rows."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from siglino_core.config import Task
from siglino_core.errors import DataError
from siglino_core.evaluation.calibrated import Calibration, calibrate
from siglino_core.evaluation.calibration import calibration_error, cross_calibrated
from siglino_core.evaluation.results.result import CHANCE, MAJORITY, PERMUTED
from siglino_core.evaluation.tasks.ensembles import AVERAGE, CALIBRATED, ORACLE, SIGLINO
from siglino_core.evaluation.tasks.zero_shot import zero_shot
from tests.siglino_core.evaluation.tasks.made import axis, by_view, check_samples, features, question, texts_of


def test_an_image_is_of_the_class_whose_texts_are_nearest() -> None:
    rows = np.array([[2, 0.1], [0.2, 3], [1, 0.9], [1, 1]], np.float32)  # the last is between: the lower class
    test = features("abba", {"v": rows}, network="teacher", failed={"x": ("b", ())})
    answers = list(zero_shot(question(test, texts={"v": axis(2)})))
    found = by_view(answers)
    assert found.keys() == {("v", ""), ("v", PERMUTED), ("v", CHANCE)}
    result = found["v", ""]
    assert [row["predicted"] for row in answers[0].rows[:4]] == ["a", "b", "a", "a"]
    assert result.metrics["top1"].value == 0.6
    assert result.metrics["mean_recall"].value == pytest.approx((1 + 1 / 3) / 2)
    assert (result.n, result.n_failed) == (5, 1)
    told = {"templates": ["a {}", "the {}"], "classes_of_one_name": 0, "text": "siglip2", "cleaning": "lower"}
    assert result.parameters | told == result.parameters
    assert "/secret" not in str(result)
    assert check_samples(answers) == 1


def test_chance_is_a_guess_and_not_the_commonest_class() -> None:
    found = by_view(zero_shot(question(features("aaab"), texts={"siglip2": axis(8)}, classes=tuple("abcdef"))))
    row = found["siglino", CHANCE]
    values = [row.metrics[name].value for name in ("top1", "top5", "mean_recall", MAJORITY)]
    assert values == pytest.approx([1 / 6, 5 / 6, 1 / 6, 3 / 4])


def test_texts_say_the_spoken_names_and_answers_the_classes() -> None:
    heard: list[str] = []

    def vector(text: str) -> list[float]:
        heard.append(text)
        return [1, 0] if "first" in text else [0, 1]

    test = features(["a_first", "b_second"], {"v": np.eye(2, dtype=np.float32)}, network="t")
    answers = list(zero_shot(question(test, texts={"v": texts_of(vector)})))
    assert heard == ["a a first", "the a first", "a b second", "the b second"]
    assert [row["predicted"] for row in answers[0].rows] == ["a_first", "b_second"]
    heard.clear()
    by_recipe = question(test, texts={"v": texts_of(vector)}, spoken=lambda names: ["first"] * len(names))
    result = by_view(zero_shot(by_recipe))["v", ""]
    assert heard == ["a first", "the first"] * 2
    assert result.parameters["classes_of_one_name"] == 1
    assert result.metrics["top1"].value == 0.5, "of two classes of one name the first wins"
    assert result.per_class == {"a_first": 1, "b_second": 0}


def test_classes_that_are_called_by_numbers_are_told() -> None:
    by_number = texts_of(lambda text: np.eye(2)[int(text[-1])].tolist())
    asked = question(features(["0", "1"], {"v": np.eye(2, dtype=np.float32)}, network="t"), texts={"v": by_number})
    assert by_view(zero_shot(asked))["v", ""].metrics["top1"].value == 1
    assert asked.passed == [
        "zero shot on made by t: its classes are called by numbers, as in 'a 1'. If these are no names, give a file of "
        "names (classes)"
    ]


def student(train: bool = True, **more: object) -> tuple[list, list[str]]:
    labels = [*"abcd"] * 10
    bank = features(labels, noise=0.3, seed=4, split="train") if train else None
    asked = question(features(labels, noise=0.3, seed=3), bank, texts={"siglip2": axis(8), "dinov3": axis(10)}, **more)
    return list(zero_shot(asked)), asked.passed


def test_two_heads_with_texts_of_other_widths_are_joined_in_three_ways() -> None:
    answers, passed = student()
    found = by_view(answers)
    views = ["siglip2", "dinov3", SIGLINO, AVERAGE, CALIBRATED]
    assert [view for view, sanity in found if not sanity] == views
    assert passed == []
    assert check_samples(answers) == 5
    oracle = found[SIGLINO, ""].metrics[ORACLE].value
    assert oracle >= max(found[v, ""].metrics["top1"].value for v in views)
    # on raw cosines the released form is all but the mean
    rows = {v: [r["predicted"] for a in answers if a.result.view == v for r in a.rows] for v in (SIGLINO, AVERAGE)}
    assert np.mean([x == y for x, y in zip(rows[SIGLINO], rows[AVERAGE], strict=True)]) > 0.9
    assert found[CALIBRATED, ""].parameters["calibration"]["n"] == 40
    assert all(found[v, ""].metrics["calibration_error"].n == 40 for v in views)


def test_the_slice_that_temperatures_are_fitted_to_has_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def recorded(a: np.ndarray, b: np.ndarray, ids: np.ndarray) -> Calibration:
        seen.append(ids)
        return calibrate(a, b, ids)

    module = sys.modules["siglino_core.evaluation.tasks.zero_shot"]  # the package has a function of its name
    monkeypatch.setattr(module, "FITTED", 8)
    monkeypatch.setattr(module, "calibrate", recorded)
    labels = sorted([*"abcd"] * 10)  # in the order of their folders
    asked = question(
        features([*"abcd"]), features(labels, noise=0.2, split="train"), texts={"siglip2": axis(8), "dinov3": axis(10)}
    )
    list(zero_shot(asked))
    assert np.bincount(seen[0]).tolist() == [2, 2, 2, 2]


def test_without_a_train_split_no_temperature_is_fitted_and_that_is_said() -> None:
    answers, passed = student(train=False)
    assert (CALIBRATED, "") not in by_view(answers)
    assert passed == [
        "zero shot on made by student: no ensemble (calibrated): there is no train split to fit its temperatures to"
    ]
    asked = question(features("ab"), features([None], split="train"), texts={"siglip2": axis(8), "dinov3": axis(10)})
    assert (CALIBRATED, "") not in by_view(zero_shot(asked))
    assert len(asked.passed) == 1


def test_every_sample_is_judged_by_the_other_halfs_temperature() -> None:
    answers, _ = student()
    result = by_view(answers)["siglip2", ""]
    test = features([*"abcd"] * 10, noise=0.3, seed=3)
    rows = test.summaries["siglip2"].astype(np.float64)
    cosines = (rows / np.linalg.norm(rows, axis=1, keepdims=True))[:, :4]
    ids = np.tile(np.arange(4), 10)
    log, temperatures = cross_calibrated(cosines, ids, seed=0)
    assert result.metrics["calibration_error"].value == pytest.approx(calibration_error(log, ids), abs=1e-3)
    assert result.parameters["temperatures"] == pytest.approx(list(temperatures), rel=1e-3)


def test_one_sample_has_no_calibration_error() -> None:
    result = by_view(zero_shot(question(features("a"), texts={"siglip2": axis(8)}, classes=("a", "b"))))["siglip2", ""]
    assert "calibration_error" not in result.metrics


def test_permuted_labels_are_at_chance() -> None:
    answers, _ = student()
    permuted = by_view(answers)["siglip2", PERMUTED].metrics["top1"]
    assert permuted.low is not None
    assert permuted.low <= 0.25


def test_what_cannot_be_done_is_said_or_refused() -> None:
    asked = question(features("ab"))
    assert list(zero_shot(asked)) == []
    assert asked.passed == ["zero shot on made by student: no view has a text side"]
    with pytest.raises(DataError, match="no view has a text side"):
        list(zero_shot(question(features("ab"), tasks=(Task.ZERO_SHOT,))))
    with pytest.raises(DataError, match="are 8 and 5 wide"):
        list(zero_shot(question(features("ab"), texts={"siglip2": axis(5)})))


def test_labels_of_the_train_split_alone_ask_nothing() -> None:
    asked = question(features([None, None]), features("ab", split="train"), texts={"siglip2": axis(8)})
    assert list(zero_shot(asked)) == []
    assert asked.passed == ["zero shot on made by student: no test sample has a label"]


def test_where_classes_weigh_alike_their_mean_comes_first() -> None:
    asked = question(features("aaab"), texts={"siglip2": axis(8)}, classes=tuple("abcdef"))
    found = list(zero_shot(replace(asked, by_class=(Task.ZERO_SHOT,))))
    assert {one.result.headline[0] for one in found} == {"mean_recall"}
    assert {one.result.headline[0] for one in zero_shot(asked)} == {"top1"}
    assert all("top1" in one.result.metrics for one in found)
