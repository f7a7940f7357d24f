"""Segmentation as a task: golden IoU, both heads as one, images without masks or that could not be read, and chance."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from siglino_core.config import Probing, Task
from siglino_core.errors import DataError
from siglino_core.evaluation.results.result import CHANCE
from siglino_core.evaluation.segmentation.protocol import STRICT
from siglino_core.evaluation.tasks.ensembles import CONCAT
from siglino_core.evaluation.tasks.question import Question
from siglino_core.evaluation.tasks.segmentation import IMAGE_IOU, patch_retrieval, segmentation
from tests.siglino_core.evaluation.tasks.made import by_view, features, question

Sample = tuple[str, np.ndarray, np.ndarray]


def painted(name: str, classes: list[list[int]], width: int, wrong: int = 0) -> Sample:
    """Patches that lie by the axis of their class, and a mask of 4 pixels a patch.

    Args:
        wrong: how many first patches lie by the axis of class 0 whatever their class.
    """
    grid = np.array(classes)
    seen = grid.copy().ravel()
    seen[:wrong] = 0
    patches = np.eye(width, dtype=np.float16)[seen.reshape(grid.shape)]
    return name, patches, np.kron(grid, np.ones((2, 2))).astype(np.uint8)


def asked(test: list[list[list[int]]], views: dict[str, int], wrong: int = 0, **more: Any) -> Question:
    maps = {"test": test, "train": [[[0, 1], [1, 0]], [[1, 1], [0, 0]], [[0, 0], [0, 1]]] * 2}
    patches: dict[str, dict[str, list[Sample]]] = {}
    for split, of_split in maps.items():
        errors = wrong if split == "test" else 0
        patches[split] = {
            view: [painted(f"{split}{i}", one, width, errors) for i, one in enumerate(of_split)]
            for view, width in views.items()
        }
    known = features([None] * len(test), {view: np.ones((len(test), d), np.float32) for view, d in views.items()})
    values = {"patches": patches, "classes": ("ground", "thing")} | more
    return question(known, features([], {}, split="train"), **values)


def test_the_labels_of_the_nearest_patches() -> None:
    # the first patch of each image, 4 pixels, is taken for ground
    q = asked([[[1, 1], [0, 0]], [[1, 0], [0, 0]]], {"v": 3}, wrong=1)
    answers = list(patch_retrieval(q))
    found = by_view(answers)
    assert found.keys() == {("v", ""), ("v", CHANCE)}
    result = found["v", ""]
    assert result.metrics["mean_iou"].n == result.n == 2
    assert set(result.per_class) == {"ground", "thing"}
    assert result.metrics["mean_iou"].value == pytest.approx(np.mean(list(result.per_class.values())))
    rows = {row["sample_id"]: row for row in answers[0].rows}
    assert rows.keys() == {"test0", "test1"}
    assert {row["metric"] for row in answers[0].rows} == {IMAGE_IOU}
    assert rows["test1"]["correct"] == pytest.approx(12 / 16 / 2), "of 16 pixels 12 are ground, and the thing is missed"
    assert IMAGE_IOU not in result.metrics


def test_a_test_image_that_is_learned_from_too_is_told_once() -> None:
    q = asked([[[1, 1], [0, 0]], [[1, 0], [0, 0]]], {"v": 3, "w": 3})
    q = replace(q, train=features([None], {}, split="train", image_ids=["test-image0"]))
    results = by_view(patch_retrieval(q))
    assert {view: r.parameters.get("copies") for (view, sanity), r in results.items() if not sanity} == {"v": 1, "w": 1}
    assert len(q.passed) == 1


def test_chance_is_the_commonest_class_of_the_train_split_everywhere() -> None:
    q = asked([[[1, 1], [1, 0]], [[1, 0], [1, 0]]], {"v": 3})  # here it is the other class: 20 pixels of 32
    for task in (segmentation, patch_retrieval):
        row = by_view(task(q))["v", CHANCE]
        assert row.metrics["mean_iou"].value == pytest.approx(12 / 32 / 2)
        assert row.metrics["pixel_accuracy"].value == pytest.approx(12 / 32)
        assert row.metrics["mean_accuracy"].value == 0.5
        assert row.per_class == {}


def test_the_linear_head_of_each_view_and_of_both_heads_as_one() -> None:
    q = asked([[[1, 0], [0, 0]]] * 2, {"siglino": 4, "siglip2": 3, "dinov3": 5})
    answers = list(segmentation(q))
    found = by_view(answers)
    assert list(found) == [("siglino", ""), ("siglip2", ""), ("dinov3", ""), (CONCAT, ""), ("siglino", CHANCE)]
    assert found[CONCAT, ""].parameters["heads"] == ["siglip2", "dinov3"]
    assert found[CONCAT, ""].parameters["name"] == "quick"
    assert all(a.result.n == 2 for a in answers)


def test_both_heads_as_one_are_searched_too() -> None:
    q = asked([[[1, 0], [0, 0]]] * 2, {"siglino": 4, "siglip2": 3, "dinov3": 5})
    found = by_view(patch_retrieval(q))
    assert found[CONCAT, ""].metrics == found["siglip2", ""].metrics
    teacher = asked([[[1, 0], [0, 0]]] * 2, {"siglip2": 3})
    assert (CONCAT, "") not in by_view(patch_retrieval(teacher))


def test_images_without_a_mask_are_left_out_and_what_could_not_be_read_is_said() -> None:
    q = asked([[[1, 0], [0, 0]], [[0, 0], [0, 1]]], {"v": 3})
    known = features([None] * 3, {"v": np.ones((3, 3), np.float32)}, failed={"lost": (None, ())})
    q = question(known, q.train, patches=q.patches, classes=q.classes)
    answers = list(patch_retrieval(q))
    result = by_view(answers)["v", ""]
    assert (result.n, result.n_failed, result.metrics["mean_iou"].n, result.parameters["unlabelled"]) == (3, 1, 2, 1)
    assert [row["image_id"] for row in answers[0].rows] == ["test-image0", "test-image1"]
    assert q.passed == [
        "patch retrieval on made by student: 1 images that could not be read have no pixels to count as wrong"
    ]


def test_an_image_whose_pixels_are_all_ignored_has_no_row() -> None:
    q = asked([[[1, 0], [0, 0]], [[0, 0], [0, 1]]], {"v": 3})
    name, patches, mask = q.patches["test"]["v"][1]  # type: ignore[index]
    q.patches["test"]["v"][1] = name, patches, np.full_like(mask, 255)  # type: ignore[index]
    answers = list(patch_retrieval(q))
    assert [row["sample_id"] for row in answers[0].rows] == ["test0"]
    assert answers[0].result.n == 2


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"patches": {}}, "it has no features of patches"),
        ({"patches": {"test": {"v": [painted("test0", [[0]], 3)]}}}, "there is no train split with masks"),
        ({"patches": {"test": {"v": [painted("test0", [[0]], 3)]}, "train": {"v": []}}}, "no train image has a mask"),
        ({"patches": {"test": {"v": []}, "train": {"v": [painted("train0", [[0]], 3)]}}}, "no test image has a mask"),
    ],
)
def test_what_cannot_be_done_is_said_or_refused(more: dict, why: str) -> None:
    for task, run in ((Task.SEGMENTATION, segmentation), (Task.PATCH_RETRIEVAL, patch_retrieval)):
        q = asked([[[0]]], {"v": 3}, **more)
        assert list(run(q)) == []
        assert len(q.passed) == 1
        assert q.passed[0].endswith(why)
        with pytest.raises(DataError, match=why):
            list(run(asked([[[0]]], {"v": 3}, tasks=(task,), **more)))


def test_masks_need_class_names() -> None:
    with pytest.raises(DataError, match="made: masks need class names"):
        list(segmentation(asked([[[0]]], {"v": 3}, classes=())))


def test_the_strict_protocol_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[segmentation.__module__]  # whose name in its package is the function's
    monkeypatch.setattr(module, "STRICT", replace(STRICT, steps=3))
    q = asked([[[1, 1], [0, 0]], [[1, 0], [0, 0]]], {"v": 3})
    told = {}
    for protocol in Probing:
        settings = replace(q.settings, segmentation=protocol)
        told[protocol] = by_view(segmentation(replace(q, settings=settings)))["v", ""].parameters
    assert [told[p]["name"] for p in Probing] == ["quick", "strict"]
    assert told[Probing.STRICT]["steps"] == 3
