"""A folder of images: found by path or by name, and what is not there is said at once."""

from pathlib import Path

import pytest

from siglino_core.errors import DataError
from siglino_core.grounding.data import folder as module
from siglino_core.grounding.data.folder import Folder
from tests.pools import write_files


def test_by_path_or_by_a_name_that_one_file_has(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jpg": b"A", "x/a.jpg": b"B", "y/c.jpg": b"C", "y/d.jpg": b"D", "z/d.jpg": b"E"})
    folder = Folder(str(tmp_path))
    assert [folder.read(n) for n in ("a.jpg", "x/a.jpg", "c.jpg", "train2014/c.jpg")] == [b"A", b"B", b"C", b"C"]
    folder.require(["a.jpg", "c.jpg"])
    with pytest.raises(DataError, match=r"2 of the 3 images are not there, the first is d\.jpg"):
        folder.require(["a.jpg", "d.jpg", "e.jpg"])
    with pytest.raises(DataError, match=r"the first is e\.jpg"):
        folder.read("e.jpg")


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    write_files(tmp_path / "in", {"a.jpg": b"A"})
    write_files(tmp_path, {"out.jpg": b"X"})
    with pytest.raises(DataError, match="not there"):
        Folder(str(tmp_path / "in")).read("../out.jpg")


def test_bytes_are_bounded_and_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"a.jpg": b"12345"})
    monkeypatch.setattr(module, "MAX_BYTES", 4)
    with pytest.raises(DataError, match="more than 4 bytes"):
        Folder(str(tmp_path)).read("a.jpg")
    with pytest.raises(DataError, match="nothing is there"):
        Folder(str(tmp_path / "none"))


def test_the_listing_changes_with_names_and_sizes_and_not_with_the_place(tmp_path: Path) -> None:
    for place, files in {
        "a": {"1.jpg": b"A"},
        "b": {"1.jpg": b"B"},
        "c": {"1.jpg": b"AA"},
        "d": {"2.jpg": b"A"},
    }.items():
        write_files(tmp_path / place, files)
    told = [Folder(str(tmp_path / place)).listing for place in "abcd"]
    assert told[0] == told[1]
    assert len(set(told)) == 3
