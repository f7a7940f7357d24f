"""Splits by lists beside the images, as five known data sets have them."""

import io
import pickle
from pathlib import Path

import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.data.lists import Lines, Lists, open_lists
from siglino_core.evaluation.data.sample import EvalSample
from tests.pools import write_files

FOOD = Lists(lines=Lines.PATHS, files=("meta/test.txt",), images="images", suffix=".jpg")
CUB = Lists(lines=Lines.CUB, files=("images.txt", "train_test_split.txt"), images="images", key="0")


def pairs(uri: Path, lists: Lists) -> list[tuple[str, str | None, bytes | str]]:
    split = open_lists(str(uri), lists)
    assert split is not None
    sent = pickle.loads(pickle.dumps(split))
    assert sent.units() == split.units()
    samples = [s for unit in split.units() for s in sent.read(unit)]
    return [(s.sample_id, s.label, s.data if isinstance(s, EvalSample) else s.reason) for s in samples]


def test_paths_that_name_their_class(tmp_path: Path) -> None:
    files = {"images/apple_pie/1.jpg": b"1", "images/waffles/2.jpg": b"2", "images/waffles/3.jpg": b"3"}
    write_files(tmp_path / "food-101", {**files, "meta/test.txt": b"waffles/3\napple_pie/1\n\n"})
    assert pairs(tmp_path, FOOD) == [
        ("images/waffles/3.jpg", "waffles", b"3"),
        ("images/apple_pie/1.jpg", "apple_pie", b"1"),
    ]
    assert pairs(tmp_path / "food-101", FOOD) == pairs(tmp_path, FOOD)
    split = open_lists(str(tmp_path), FOOD)
    assert split is not None
    assert split.classes == ("apple_pie", "waffles")
    assert split.passed == {"image_of_no_list_or_another": 1}


def test_names_with_their_class_after_them(tmp_path: Path) -> None:
    lists = Lists(lines=Lines.LABELLED, files=("data/images_variant_test.txt",), images="data/images", suffix=".jpg")
    text = b"0034309 Boeing 707-320\n0034310 DR-400\n"
    write_files(tmp_path, {"data/images_variant_test.txt": text, "data/images/0034309.jpg": b"1"})
    assert pairs(tmp_path, lists) == [
        ("data/images/0034309.jpg", "Boeing 707-320", b"1"),
        ("data/images/0034310.jpg", "DR-400", "missing"),
    ]


def test_cub(tmp_path: Path) -> None:
    files = {"images.txt": b"1 001.A/a.jpg\n2 001.A/b.jpg\n3 002.B/c.jpg\n", "images/002.B/c.jpg": b"c"}
    write_files(tmp_path, {**files, "train_test_split.txt": b"1 1\n2 1\n3 0\n"})
    assert pairs(tmp_path, CUB) == [("images/002.B/c.jpg", "002.B", b"c")]
    write_files(tmp_path, {"train_test_split.txt": b"1 1\n3 0\n"})
    with pytest.raises(DataError, match="tell of different images"):
        open_lists(str(tmp_path), CUB)


def test_flowers_count_from_zero_here(tmp_path: Path) -> None:
    savemat = pytest.importorskip("scipy.io").savemat

    def mat(**values: list[int]) -> bytes:
        buffer = io.BytesIO()
        savemat(buffer, values)
        return buffer.getvalue()

    lists = Lists(lines=Lines.FLOWERS, files=("setid.mat", "imagelabels.mat"), images="jpg", suffix=".jpg", key="tstid")
    files = {"setid.mat": mat(tstid=[3, 1], trnid=[2]), "imagelabels.mat": mat(labels=[77, 1, 102])}
    write_files(tmp_path, {**files, "jpg/image_00001.jpg": b"1", "jpg/image_00003.jpg": b"3"})
    assert pairs(tmp_path, lists) == [("jpg/image_00003.jpg", "101", b"3"), ("jpg/image_00001.jpg", "76", b"1")]
    write_files(tmp_path, {"setid.mat": mat(tstid=[4])})
    with pytest.raises(DataError, match="image 4 has no label among 3"):
        open_lists(str(tmp_path), lists)
    write_files(tmp_path, {"setid.mat": b"none"})
    with pytest.raises(DataError, match="no MATLAB file"):
        open_lists(str(tmp_path), lists)


def test_without_lists(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/1.jpg": b"1", "images.txt": b"1 x\n"})
    assert open_lists(str(tmp_path), FOOD) is None
    assert open_lists(str(tmp_path), CUB) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "names no image"),
        (b"a/1\na/1\n", "names images/a/1.jpg twice"),
        (b"a/2\nb/3\n", "names 2 images, and none is there; the first is images/a/2.jpg"),
        (b"\xff", "no text in UTF-8"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, text: bytes, says: str) -> None:
    write_files(tmp_path, {"meta/test.txt": text, "images/a/1.jpg": b"1"})
    with pytest.raises(DataError, match=says):
        open_lists(str(tmp_path), FOOD)


def test_lists_in_two_folders(tmp_path: Path) -> None:
    write_files(tmp_path, {"x/meta/test.txt": b"a/1", "y/meta/test.txt": b"a/1"})
    with pytest.raises(DataError, match="in 2 folders"):
        open_lists(str(tmp_path), FOOD)
