"""COCO's instances: what is read, boxes cut at the edges, masks of all three codes, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval.core import mask as tools

from siglino_core.errors import DataError
from siglino_core.grounding.data.instances import CocoImage, CocoObject, box_of, mask_of, read_instances
from tests.refer import annotation, file_name, instances

IMAGE = CocoImage(number=5, file="a.jpg", width=48, height=32)


def read(path: Path, stored: Any) -> Any:
    (path / "instances.json").write_text(stored if isinstance(stored, str) else json.dumps(stored))
    return read_instances(str(path / "instances.json"))


def one(**change: Any) -> CocoObject:
    stored = annotation(3, 5, **change)
    return CocoObject(
        number=3, image=5, category=1, crowd=False, box=stored.get("bbox"), region=stored.get("segmentation")
    )


def test_what_is_read(tmp_path: Path) -> None:
    categories = [{"id": 9, "name": "dog"}, {"id": 1, "name": "cat"}]
    found = read(tmp_path, instances([5, 2], [annotation(3, 5, iscrowd=1)], categories=categories))
    assert list(found.images) == [5, 2]
    assert found.images[5] == CocoImage(number=5, file=file_name(5), width=48, height=32)
    assert (found.objects[3].crowd, found.objects[3].image) == (True, 5)
    assert list(found.categories.items()) == [(1, "cat"), (9, "dog")]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([1.5, 2, 3, 4], [1.5, 2, 4.5, 6]),
        ([40, 30, 8.03, 2.01], [40, 30, 48, 32]),
        ([-0.5, 0, 3, 4], [0, 0, 2.5, 4]),
        ([1, 2, 0, 4], None),
        ([9, 2, -3, 4], None),
        ([48, 2, 3, 4], None),
    ],
)
def test_boxes_become_half_open_and_end_at_the_edges(box: list[float], expected: list[float] | None) -> None:
    found = box_of(one(bbox=box), IMAGE)
    assert (None if found is None else found.tolist()) == (None if expected is None else expected)


@pytest.mark.parametrize(
    "box", [None, [1, 2, 3], [1, 2, "3", 4], [1, 2, float("nan"), 4], [1, 2, 10**400, 4], [1, 2, True, 4]]
)
def test_no_box_is_refused(box: Any) -> None:
    with pytest.raises(DataError, match="object 3 has no box of four finite numbers"):
        box_of(one(bbox=box), IMAGE)


def test_the_three_codes_of_a_mask_are_one_mask() -> None:
    expected = np.zeros((32, 48), bool)
    expected[4:12, 3:13] = True
    code = tools.encode(np.asfortranarray(expected.astype(np.uint8)))
    runs = [3 * 32 + 4, *[8, 24] * 9, 8, 34 * 32 + 32 + 20]
    runs[-1] = 32 * 48 - sum(runs[:-1])
    packed = {"size": [32, 48], "counts": code["counts"].decode()}
    for region in (annotation(3, 5)["segmentation"], packed, {"size": [32, 48], "counts": runs}):
        found = mask_of(one(segmentation=region), IMAGE)
        assert found is not None
        assert np.array_equal(found, expected)
    assert mask_of(one(segmentation={"size": [32, 48], "counts": [32 * 48]}), IMAGE) is None


@pytest.mark.parametrize(
    ("region", "says"),
    [
        (None, "no segmentation"),
        ([1, 2, 3, 4, 5, 6], "no lists of numbers"),
        ([[1, 2]], "2 numbers"),
        ({"size": [48, 32], "counts": [32 * 48]}, "not of the image's size"),
        ({"size": [32, 48]}, "no counts"),
        ({"size": [32, 48], "counts": [5]}, "runs of 5 pixels"),
        ({"size": [32, 48], "counts": "S1"}, "runs of 35 pixels"),
    ],
)
def test_no_mask_is_refused(region: Any, says: str) -> None:
    with pytest.raises(DataError, match=f"object 3 of image 5: .*{says}"):
        mask_of(one(segmentation=region), IMAGE)


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        ("{", "no JSON"),
        ([], "needs lists `images` and `annotations`"),
        (instances([5, 5], []), "have one number"),
        (instances([5], [annotation(1, 5)] * 2), "have one number"),
        (instances([5], [annotation(1, 6)]), "object 1 is of image 6"),
        (instances([5], [annotation(1, 5, category_id="x")]), "no whole number `category_id`"),
        (instances([], [], images=[{"id": 1, "file_name": "a", "width": 0, "height": 3}]), "0 x 3 pixels"),
        (instances([], [], images=[{"id": 1, "file_name": "a", "width": 10**9, "height": 3}]), "each side has"),
        (instances([], [], images=[{"id": 1, "width": 2, "height": 3}]), "no text `file_name`"),
        (instances([], [], images=[7]), "no whole number `width`"),
        (instances([], [], categories=[{"id": 1, "name": "a"}] * 2), "two categories have one number"),
        (instances([5], [annotation(1, 5, category_id=7)]), "object 1 is of category 7, which has no name"),
        (instances([], [], categories=None), "no list `categories`"),
        (instances([], [], categories=[{"id": 1}]), "no text `name`"),
    ],
)
def test_what_is_of_another_form_is_named(tmp_path: Path, stored: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(tmp_path, stored)
