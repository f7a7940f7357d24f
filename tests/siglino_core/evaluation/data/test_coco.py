"""COCO's JSON and Karpathy's: captions, splits, labels, and what is said of files that do not fit."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.annotations import json_of, read_text
from siglino_core.evaluation.data.coco import UNUSED, CocoFile, open_coco
from siglino_core.evaluation.data.sample import EvalSample, Unreadable
from tests.pools import write_files

IMAGES = [{"id": 7, "file_name": "b.jpg"}, {"id": 3, "file_name": "a.jpg"}]


def file(path: Path, stored: Any, **settings: Any) -> CocoFile:
    (path / "set.json").write_text(stored if isinstance(stored, str) else json.dumps(stored))
    return CocoFile(annotations=str(path / "set.json"), uri=str(path / "images"), **settings)


def samples(coco: CocoFile) -> list[EvalSample | Unreadable]:
    split = open_coco(coco)
    sent = pickle.loads(pickle.dumps(split))
    assert sent.units() == split.units()
    return [s for unit in split.units() for s in sent.read(unit)]


def captions(*pairs: tuple[int, Any]) -> dict[str, Any]:
    return {"images": IMAGES, "annotations": [{"id": i, "image_id": k, "caption": c} for i, (k, c) in enumerate(pairs)]}


def test_captions_in_the_files_order(tmp_path: Path) -> None:
    write_files(tmp_path / "images", {"a.jpg": b"A", "val/b.jpg": b"B"})
    found = samples(file(tmp_path, captions((3, "x"), (7, "y"), (3, " "), (3, "z"))))
    assert found == [
        EvalSample(sample_id="b.jpg", data=b"B", captions=("y",)),
        EvalSample(sample_id="a.jpg", data=b"A", captions=("x", "z")),
    ]


def test_at_most_so_many_captions_and_none(tmp_path: Path) -> None:
    write_files(tmp_path / "images", {"a.jpg": b"A", "b.jpg": b"B"})
    split = open_coco(file(tmp_path, captions((3, "1"), (3, "2"), (3, "3")), most=2))
    assert [e.captions for e in split.entries] == [(), ("1", "2")]
    assert split.passed == {"caption_beyond_the_most": 1, "image_without_caption": 1}


def test_a_missing_image_counts_and_all_missing_is_another_split(tmp_path: Path) -> None:
    write_files(tmp_path / "images", {"a.jpg": b"A"})
    coco = file(tmp_path, captions((7, "y")))
    gone = samples(coco)[0]
    assert isinstance(gone, Unreadable)
    assert (gone.sample_id, gone.reason, gone.captions) == ("b.jpg", "missing", ("y",))
    (tmp_path / "images/a.jpg").rename(tmp_path / "images/c.jpg")
    with pytest.raises(DataError, match=r"none of the 2 images .* first is b.jpg. Are they of another split"):
        open_coco(coco)


def test_two_files_of_one_name_are_not_guessed(tmp_path: Path) -> None:
    write_files(tmp_path / "images", {"x/a.jpg": b"A", "y/a.jpg": b"A", "b.jpg": b"B"})
    assert [type(s) for s in samples(file(tmp_path, captions()))] == [EvalSample, Unreadable]


def karpathy() -> dict[str, Any]:
    def image(name: str, split: str, *texts: str) -> dict[str, Any]:
        return {"filepath": "val2014", "filename": name, "split": split, "sentences": [{"raw": t} for t in texts]}

    return {"images": [image("1.jpg", "test", "a", "b"), image("2.jpg", "restval", "c"), image("3.jpg", "train", "d")]}


def test_karpathy(tmp_path: Path) -> None:
    write_files(tmp_path / "images/val2014", {f"{i}.jpg": b"%d" % i for i in (1, 2, 3)})
    split = open_coco(file(tmp_path, karpathy(), splits=("test",)))
    assert [(e.sample_id, e.captions) for e in split.entries] == [("val2014/1.jpg", ("a", "b"))]
    assert split.passed == {"image_of_another_split": 2}
    train = samples(file(tmp_path, karpathy(), splits=("train", "restval")))
    assert [s.data for s in train if isinstance(s, EvalSample)] == [b"2", b"3"]
    with pytest.raises(ConfigError, match="no split val; it has restval, test, train"):
        open_coco(file(tmp_path, karpathy(), splits=("val",)))


def test_instances(tmp_path: Path) -> None:
    write_files(tmp_path / "images", {"a.jpg": b"A", "b.jpg": b"B"})
    stored = {
        "images": IMAGES,
        "annotations": [{"image_id": 3, "category_id": c} for c in (18, 18)]
        + [{"image_id": 7, "category_id": c} for c in (18, 1)],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
    }
    assert [(s.label, s.captions) for s in samples(file(tmp_path, stored))] == [(None, ()), (None, ())]
    split = open_coco(file(tmp_path, stored, labels=True))
    assert [(e.sample_id, e.label) for e in split.entries] == [("a.jpg", "dog")]
    assert split.classes == ("person", "dog")
    assert split.passed == {"image_of_several_classes_or_none": 1}


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        ("{", "is no JSON"),
        ([1], "no COCO JSON: it needs a list `images`, and has list"),
        ({"a": 1}, "and has a"),
        ({"images": []}, "no list `annotations`"),
        ({"images": [], "annotations": []}, "the split is empty"),
        ({"images": [{"id": 1}], "annotations": []}, "image 0 has no file_name"),
        ({"images": [{"file_name": "a"}], "annotations": []}, "image 0 has no id"),
        ({"images": [*IMAGES, IMAGES[0]], "annotations": []}, "two images have one id"),
        (captions((8, "x")), "annotation 0 is of image 8, which is not among its 2 images"),
        ({"images": [{"filename": "a", "sentences": []}, {"filename": "b"}]}, r"image 1 \(b\) has no list"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, stored: Any, says: str) -> None:
    write_files(tmp_path / "images", {"a.jpg": b"A"})
    with pytest.raises(DataError, match=says):
        open_coco(file(tmp_path, stored))


def test_cocos_own_files_hold_one_split(tmp_path: Path) -> None:
    write_files(tmp_path / "images", {"a.jpg": b"A"})
    assert len(open_coco(file(tmp_path, captions((3, "x")), splits=("test",))).entries) == 2


def test_what_is_dropped_as_it_is_read(tmp_path: Path) -> None:
    write_files(tmp_path / "images", {"a.jpg": b"A"})
    stored = captions((3, "x")) | {"licenses": [{"id": 1}]}
    stored["annotations"][0] |= {"segmentation": [[0.5] * 6], "bbox": [1, 2, 3, 4]}
    read = read_text(file(tmp_path, stored).annotations)
    assert json_of(read, UNUSED) == captions((3, "x"))
