"""Retrieval: golden ranks, any number of captions, ties against, failures, ensembles and sanity rows."""

import numpy as np
import pytest

from siglino_core.config import Task
from siglino_core.errors import DataError
from siglino_core.evaluation.results.result import CHANCE, SHUFFLED
from siglino_core.evaluation.retrieval import I2T, T2I
from siglino_core.evaluation.tasks.ensembles import AVERAGE, CALIBRATED, SIGLINO
from siglino_core.evaluation.tasks.retrieval import retrieval
from tests.siglino_core.evaluation.tasks.made import axis, by_view, check_samples, features, question, texts_of

KNOWN = {"x": [1, 0, 0], "x and y": [1, 0.9, 0], "y": [0, 1, 0], "z": [0, 0, 1], "y and x": [0.9, 1, 0]}
EYE = np.eye(3, dtype=np.float32)


def test_ranks_of_images_with_no_one_and_two_captions() -> None:
    # the text "y and x" is of image 0, whose axis is x: image 1 is nearer
    captions = [("x", "y and x"), ("y",), ()]
    test = features([None] * 3, {"v": 2 * EYE}, captions, network="t")
    answers = list(retrieval(question(test, texts={"v": texts_of(KNOWN.__getitem__)})))
    found = by_view(answers)
    assert found.keys() == {("v", ""), ("v", SHUFFLED), ("v", CHANCE)}
    values = {name: m.value for name, m in found["v", ""].metrics.items()}
    assert values[f"{T2I} recall@1"] == pytest.approx(2 / 3)
    assert values[f"{T2I} recall@5"] == 1
    assert values[f"{I2T} recall@1"] == 1, "the image without a caption is no query"
    assert values[f"{T2I} median rank"] == 1
    assert found["v", ""].metrics[f"{I2T} recall@1"].n == 2
    assert found["v", ""].n == 3
    assert found["v", ""].parameters == {"images": 3, "ties": "against", "text": "siglip2", "cleaning": "lower"}
    ranks = {row["sample_id"]: row["rank"] for row in answers[0].rows if row["metric"].startswith(T2I)}
    assert ranks == {"test0#0": 1, "test0#1": 2, "test1#0": 1}
    assert {row["group"] for row in answers[0].rows if row["metric"].startswith(T2I)} == {"test0", "test1"}
    assert check_samples(answers) == 2


def test_a_row_for_each_caption_is_one_image_with_several() -> None:
    # the same numbers as with all captions in one row: as images of their own the copies would stand before each other
    told = {"v": texts_of(KNOWN.__getitem__)}
    grouped = features([None] * 3, {"v": EYE}, [("x", "x and y"), ("y and x",), ("z",)], network="t")
    flat = features(
        [None] * 4,
        {"v": EYE[[0, 1, 0, 2]]},
        [("x",), ("y and x",), ("x and y",), ("z",)],
        image_ids=["i", "j", "i", "k"],
        network="t",
    )
    asked = question(flat, texts=told)
    answers = list(retrieval(asked))
    found, expected = by_view(answers), by_view(retrieval(question(grouped, texts=told)))
    for key in (("v", ""), ("v", CHANCE)):
        assert {n: (m.value, m.n) for n, m in found[key].metrics.items()} == {
            n: (m.value, m.n) for n, m in expected[key].metrics.items()
        }
    assert found["v", ""].metrics[f"{T2I} recall@1"].value == 1
    assert found["v", ""].parameters["images"] == 3
    assert check_samples(answers) == 2
    assert asked.passed == [
        "retrieval on made by t: 1 of 4 samples are byte by byte an image before them: it counts once, with the "
        "captions of all"
    ]


def test_features_that_are_all_alike_find_nothing() -> None:
    test = features([None] * 3, {"v": np.ones((3, 3), np.float32)}, [("x",), ("y",), ("z",)], network="t")
    result = by_view(retrieval(question(test, texts={"v": texts_of(lambda _: [1, 1, 1])})))["v", ""]
    assert result.metrics[f"{T2I} recall@1"].value == 0
    assert result.metrics[f"{I2T} recall@1"].value == 0
    assert result.metrics[f"{T2I} median rank"].value == 3


def test_captions_of_images_that_could_not_be_read_are_missed() -> None:
    failed = {"lost": (None, ("x", "y")), "bare": ("label", ())}
    test = features([None] * 2, {"v": EYE[:2]}, [("x",), ("y",)], network="t", failed=failed)
    answers = list(retrieval(question(test, texts={"v": texts_of(KNOWN.__getitem__)})))
    result = answers[0].result
    assert (result.n, result.n_failed, result.parameters["images"]) == (4, 2, 3)
    assert result.metrics[f"{T2I} recall@1"].value == 0.5
    assert result.metrics[f"{T2I} recall@10"].value == 0.5
    assert result.metrics[f"{I2T} recall@1"].value == pytest.approx(2 / 3)
    lost = [row for row in answers[0].rows if row["sample_id"].startswith("lost")]
    assert [(row["sample_id"], row["correct"], row["rank"]) for row in lost] == [
        ("lost#0", 0, None),
        ("lost#1", 0, None),
        ("lost", 0, None),
    ]
    assert check_samples(answers) == 2


def student(train: list[tuple[str, ...]] | None) -> tuple[list, list[str]]:
    labels = [*"abcdef"] * 3
    captions = [(f"{i} {label}",) * (i % 3) for i, label in enumerate(labels)]
    bank = features(["a"] * len(train), captions=train, noise=0.3, split="train") if train is not None else None
    texts = {"siglip2": axis(8), "dinov3": axis(10)}
    asked = question(features(labels, captions=captions, noise=0.3, seed=7), bank, texts=texts)
    return list(retrieval(asked)), asked.passed


def test_two_heads_are_joined_in_three_ways() -> None:
    answers, passed = student([("1 a",), ("2 a", "3 a"), ()])
    found = by_view(answers)
    views = ["siglip2", "dinov3", SIGLINO, AVERAGE, CALIBRATED]
    assert [view for view, sanity in found if not sanity] == views
    assert passed == []
    assert check_samples(answers) == 10
    assert all(found[v, ""].n == found["siglip2", ""].n == 18 for v in views)
    calibration = found[CALIBRATED, ""].parameters["calibration"]
    assert set(calibration) == {T2I, I2T}
    assert calibration[T2I]["n"] == 2, "images with a caption"
    assert found[SIGLINO, ""].parameters["heads"] == ["siglip2", "dinov3"]


@pytest.mark.parametrize("train", [None, [], [("1 a",), ()]])
def test_without_captions_to_fit_to_the_calibrated_one_is_passed_over(train: list | None) -> None:
    answers, passed = student(train)
    assert (CALIBRATED, "") not in by_view(answers)
    why = "no train split has two images with captions to fit its temperatures to"
    assert passed == [f"retrieval on made by student: no ensemble (calibrated): {why}"]


def test_shuffled_texts_are_at_chance() -> None:
    n = 60
    rows = np.eye(n, dtype=np.float32)
    test = features([None] * n, {"v": rows}, [(str(i),) for i in range(n)], network="t")
    found = by_view(retrieval(question(test, texts={"v": texts_of(lambda text: rows[int(text)].tolist())})))
    name = f"{T2I} recall@1"
    assert found["v", ""].metrics[name].value == 1
    assert found["v", SHUFFLED].metrics[name].value == 0, "each text has another image"
    assert found["v", CHANCE].metrics[name].value == pytest.approx(1 / n)
    assert found["v", CHANCE].metrics[f"{I2T} recall@10"].value == pytest.approx(10 / n)


def test_what_cannot_be_done_is_said_or_refused() -> None:
    texts = {"siglip2": axis(8)}
    for test, more, why in (
        (features("ab"), {"texts": texts}, "no sample has a caption"),
        (features("ab", captions=[("a",), ("b",)]), {}, "no view has a text side"),
        (features("a", captions=[("a",)]), {"texts": texts}, "fewer than two images"),
    ):
        asked = question(test, **more)
        assert list(retrieval(asked)) == []
        assert asked.passed == [f"retrieval on made by student: {why}"]
        with pytest.raises(DataError, match=why):
            list(retrieval(question(test, tasks=(Task.RETRIEVAL,), **more)))
