"""RefCOCO's data sets: one expression a sentence, exact boxes and masks, and no test image in training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siglino_core.errors import ConfigError, DataError
from siglino_core.grounding.data.folder import Folder
from siglino_core.grounding.data.left_out import LeftOut
from siglino_core.grounding.data.refer import Refer, held_out_ids, leak_free
from siglino_core.grounding.data.referring import Referring
from tests.refer import annotation, file_name, ref, write
from tests.siglino_core.grounding.data.test_table import require_same

REFS = [
    ref(3, 7, "train", "left cat", "the cat"),
    ref(1, 5, "train", "a cat"),
    ref(2, 7, "train", "right cat"),
    ref(4, 9, "val", "val cat"),
    ref(6, 11, "testA", "", "cat a"),
]


def opened(folders: tuple[str, str], **settings: Any) -> Refer:
    return Refer(*folders, **({"published": False} | settings))


def test_one_expression_a_sentence_with_its_box_and_mask(tmp_path: Path) -> None:
    split = opened(write(tmp_path, REFS))
    rows = list(split)
    assert (len(split), [r.image_id for r in rows]) == (2, ["coco/7", "coco/5"])
    assert [e.text for e in rows[0].expressions] == ["left cat", "the cat", "right cat"]
    assert [e.boxes_K4.tolist() for e in rows[0].expressions] == [[[3, 4, 13, 12]], [[3, 4, 13, 12]], [[2, 4, 12, 12]]]
    assert {r.split for r in rows} == {"refcoco/unc/train"}
    expected = np.zeros((32, 48), bool)
    expected[4:12, 2:12] = True
    masks = rows[0].expressions[2].masks
    assert masks is not None
    assert np.array_equal(masks[0], expected)
    assert rows[0].data == (tmp_path / "images/train2014" / file_name(7)).read_bytes()


def test_splits_and_sentences_without_words(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    split = opened(folders, split="testA", masks=False)
    (row,) = split
    assert [(e.text, e.masks) for e in row.expressions] == [("cat a", None)]
    assert split.left_out == {"sentence_without_words": 1}
    with pytest.raises(ConfigError, match="split=test: refcoco by unc has the splits train, val, testA"):
        opened(folders, split="test")


def test_counts_are_checked_unless_told_otherwise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train has 4 expressions instead of 120,624"):
        Refer(*write(tmp_path, REFS))


def test_no_test_image_of_any_data_set_is_trained_on(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    write(tmp_path, [ref(1, 5, "testB", "x"), ref(2, 7, "train", "y")], "refcoco+")
    write(tmp_path, [ref(1, 21, "test", "x"), ref(2, 22, "val", "y"), ref(3, 23, "train", "z")], "refcocog", "umd")
    held_out = held_out_ids(folders[0])
    assert held_out == {"coco/9", "coco/11", "coco/5", "coco/21", "coco/22"}
    split = opened(folders, without=held_out)
    assert [r.image_id for r in split] == ["coco/7"]
    assert split.left_out == {"image_of_a_test_split": 1}
    assert [r.image_id for r in leak_free(opened(folders), held_out)] == ["coco/7"]
    assert held_out_ids(folders[0], [("refcoco", "unc")]) == {"coco/9", "coco/11"}


def test_all_three_data_sets_are_needed_to_know_the_test_images(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    with pytest.raises(DataError, match="nothing is there"):
        held_out_ids(folders[0])


def test_missing_images_are_counted_and_the_first_named(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    (tmp_path / "images/train2014" / file_name(5)).unlink()
    with pytest.raises(DataError, match=f"1 of the 2 images are not there, the first is {file_name(5)}"):
        opened(folders)
    assert len(opened(folders, split="val")) == 1


def test_an_image_of_another_size_is_refused(tmp_path: Path) -> None:
    folders = write(tmp_path, REFS)
    path = tmp_path / "data/refcoco/instances.json"
    stored = json.loads(path.read_text())
    stored["images"][0]["width"] = 47
    path.write_text(json.dumps(stored))
    with pytest.raises(DataError, match="image coco/5 has 48 x 32 pixels, and what is said of it is for 47 x 32"):
        list(opened(folders))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image_id": 9}, "reference 1 is of object 1 of image 5, which it does not have"),
        ({"id": 99}, "reference 1 is of object 1 of image 5"),
        ({"bbox": [1, 4, 0, 8]}, "object 1 has an empty box"),
        ({"segmentation": []}, "object 1 has an empty box or mask"),
    ],
)
def test_objects_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    folders = write(tmp_path, REFS)
    path = tmp_path / "data/refcoco/instances.json"
    stored = json.loads(path.read_text())
    stored["annotations"] = [a if a["id"] != 1 else annotation(1, 5, **change) for a in stored["annotations"]]
    path.write_text(json.dumps(stored))
    with pytest.raises(DataError, match=says):
        list(opened(folders))


def test_ranges_are_the_rows_and_no_others_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = opened(write(tmp_path, REFS))
    whole, read = list(split), []
    take = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, file: read.append(file) or take(self, file))
    for start, stop in ((0, 1), (1, 2), (0, 9), (1, 1)):
        found = list(split.read(start, stop))
        for one, other in zip(found, whole[start:stop], strict=True):
            assert isinstance(one, Referring)
            require_same(one, other)
    assert read == [file_name(n) for n in (7, 5, 7, 5)]
    left_out, _ = split.read(0, 2, {"tested": {"coco/7"}})
    assert left_out == LeftOut(image_id="coco/7", reason="tested", whole=True)
    assert read[4:] == [file_name(5)]


def test_what_cannot_be_used_is_told_of_and_the_rest_stays(tmp_path: Path) -> None:
    folders = write(tmp_path, [*REFS, ref(8, 12, "train", ""), ref(9, 7, "train", "x" * 10_000)])
    (tmp_path / "images/train2014" / file_name(5)).write_bytes(b"<html>")
    split = opened(folders)
    found = list(split.read(0, len(split)))
    assert [(type(i), i.image_id, getattr(i, "reason", ""), getattr(i, "whole", None)) for i in found] == [
        (LeftOut, "coco/7", "sentence_too_long", False),
        (Referring, "coco/7", "", None),
        (LeftOut, "coco/5", "not_an_image", True),
        (LeftOut, "coco/12", "sentence_without_words", False),
        (LeftOut, "coco/12", "image_without_expression", True),
    ]
    with pytest.raises(DataError, match="has 10000 characters"):
        list(split)
