"""COCO's categories as expressions: all objects of one, crowds left out, and absent ones that are truly absent."""

import json
from pathlib import Path
from typing import Any

import pytest

from siglino_core.errors import ConfigError, DataError
from siglino_core.grounding.data.coco import Categories
from siglino_core.grounding.data.left_out import LeftOut
from siglino_core.grounding.data.referring import Referring
from tests.pictures import picture
from tests.refer import SIZE, annotation, file_name, instances

NAMES = [{"id": i, "name": name} for i, name in enumerate(["cat", "dog", "cup", "tie", "bus", "zebra"], 1)]


def opened(path: Path, numbers: list[int], annotations: list[dict[str, Any]], **settings: Any) -> Categories:
    (path / "images").mkdir(exist_ok=True)
    for number in numbers:
        (path / "images" / file_name(number)).write_bytes(picture(number, size=SIZE))
    (path / "instances.json").write_text(json.dumps(instances(numbers, annotations, categories=NAMES)))
    return Categories(str(path / "instances.json"), str(path / "images"), **settings)


def test_a_category_is_all_its_objects_in_raster_order(tmp_path: Path) -> None:
    made = [annotation(9, 5), annotation(2, 5), annotation(20, 5, category_id=3), annotation(30, 6, category_id=2)]
    rows = list(opened(tmp_path, [5, 6], made, negatives=0, name="coco/val"))
    assert [(r.image_id, r.split) for r in rows] == [("coco/5", "coco/val"), ("coco/6", "coco/val")]
    cat, cup = rows[0].expressions
    assert (cat.text, cat.boxes_K4.tolist()) == ("cat", [[2, 4, 12, 12], [9, 4, 19, 12]])
    assert (cup.text, len(cup.boxes_K4)) == ("cup", 1)
    assert cat.masks is not None
    assert [m[:, :9].any() for m in cat.masks] == [True, False]


def test_categories_that_read_alike_are_one_expression(tmp_path: Path) -> None:
    alike = [*NAMES, {"id": 7, "name": " CAT "}, {"id": 8, "name": "Zebra"}]
    made = [annotation(9, 5, category_id=7), annotation(2, 5)]
    opened(tmp_path, [5], [])
    (tmp_path / "instances.json").write_text(json.dumps(instances([5], made, categories=alike)))
    (row,) = Categories(str(tmp_path / "instances.json"), str(tmp_path / "images"), negatives=9)
    assert [(e.text, len(e.boxes_K4)) for e in row.expressions if not e.absent] == [("cat", 2)]
    assert sorted(e.text for e in row.expressions if e.absent) == ["bus", "cup", "dog", "tie", "zebra"]


def test_crowds_take_their_category_with_them(tmp_path: Path) -> None:
    crowd = {"iscrowd": 1, "segmentation": {"size": [32, 48], "counts": [32 * 48]}}
    made = [annotation(1, 5), annotation(2, 5, **crowd), annotation(3, 5, category_id=2)]
    split = opened(tmp_path, [5], made, negatives=9)
    for _ in range(2):
        (row,) = split
        assert [e.text for e in row.expressions if not e.absent] == ["dog"]
        assert {e.text for e in row.expressions if e.absent} == {"cup", "tie", "bus", "zebra"}
        assert split.left_out == {"crowd_region": 1, "category_with_a_crowd_region": 1}


@pytest.mark.parametrize("change", [{"bbox": [1, 1, 0, 5]}, {"segmentation": []}])
def test_a_category_is_known_whole_or_not_used(tmp_path: Path, change: dict[str, Any]) -> None:
    split = opened(tmp_path, [5], [annotation(1, 5), annotation(2, 5, **change)], negatives=0)
    assert list(split) == []
    assert split.left_out == {
        "object_without_box_or_mask": 1,
        "category_with_an_object_without_box_or_mask": 1,
        "image_without_expression": 1,
    }


def test_without_masks_outlines_do_not_matter(tmp_path: Path) -> None:
    (row,) = opened(tmp_path, [5], [annotation(1, 5, segmentation=None)], negatives=0, masks=False)
    assert row.expressions[0].masks is None


def test_absent_categories_are_chosen_by_the_seed_and_the_image(tmp_path: Path) -> None:
    numbers = list(range(1, 31))
    made = [annotation(n, n) for n in numbers]

    def absent(**settings: Any) -> list[list[str]]:
        rows = opened(tmp_path, numbers, made, **settings)
        return [[e.text for e in r.expressions if e.absent] for r in rows]

    chosen = absent(negatives=2, seed=1)
    assert chosen == absent(negatives=2, seed=1)
    assert chosen != absent(negatives=2, seed=2)
    assert [c[:1] for c in chosen] == absent(negatives=1, seed=1)
    assert all(len(set(c)) == 2 and "cat" not in c for c in chosen)
    assert {name for c in chosen for name in c} == {"dog", "cup", "tie", "bus", "zebra"}
    numbers, made = numbers[::-1], made[::-1]
    assert absent(negatives=2, seed=1) == chosen[::-1]


def test_settings_and_missing_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 or more absent"):
        opened(tmp_path, [5], [], negatives=-1)
    with pytest.raises(ConfigError, match="give a name"):
        opened(tmp_path, [5], [], name="/")
    (row,) = opened(tmp_path, [5], [], name="mine/test")
    assert (row.image_id, [e.absent for e in row.expressions]) == ("mine/5", [True])
    (tmp_path / "images" / file_name(5)).unlink()
    (tmp_path / "images" / "other.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="1 of the 1 images"):
        Categories(str(tmp_path / "instances.json"), str(tmp_path / "images"))


def test_ranges_are_the_rows_and_what_cannot_be_used_is_told_of(tmp_path: Path) -> None:
    made = [annotation(n, n) for n in (5, 6, 7, 8)]
    made += [annotation(9, 6, category_id=2, bbox=[1, 2, None, 4]), annotation(10, 7, category_id=3, iscrowd=1)]
    split = opened(tmp_path, [5, 6, 7, 8], made, negatives=0)
    (tmp_path / "images" / file_name(8)).write_bytes(b"")
    assert [item.image_id for item in split.read(0, 1)] == ["coco/5"]
    found = list(split.read(1, 4, {"tested": {"coco/5"}}))
    assert [(item.image_id, getattr(item, "reason", "")) for item in found] == [
        ("coco/6", "box_or_mask"),
        ("coco/6", ""),
        ("coco/7", "crowd_region"),
        ("coco/7", "category_with_a_crowd_region"),
        ("coco/7", ""),
        ("coco/8", "zero_size"),
    ]
    assert [e.text for item in found if isinstance(item, Referring) for e in item.expressions] == ["cat", "cat"]
    assert list(split.read(0, 1, {"tested": {"coco/5"}})) == [LeftOut(image_id="coco/5", reason="tested", whole=True)]
    with pytest.raises(DataError, match="object 9 has no box of four finite numbers"):
        list(split)
