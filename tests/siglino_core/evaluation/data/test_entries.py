"""Splits by a list: units, where files lie, and files that cannot be had."""

from pathlib import Path

import fsspec
import pytest

from siglino_core.errors import StoreError
from siglino_core.evaluation.data import entries as module
from siglino_core.evaluation.data.entries import Entry, EntrySplit, located, read_files
from siglino_core.pools.location import Location
from tests.pools import write_files


def made(n: int) -> list[Entry]:
    return [Entry(sample_id=str(i), file=f"{i}.jpg", label=f"l{i}", captions=(f"c{i}", "d")) for i in range(n)]


def test_units_and_samples_in_the_lists_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW", 3)
    write_files(tmp_path, {f"{i}.jpg": b"%d" % i for i in range(10)})
    split = EntrySplit(location=Location(str(tmp_path), "public"), load=lambda: made(10), identity="x")
    assert [u["rows"] for u in split.units()] == [10]
    split = split.in_units_of(4)
    units = split.units()
    assert [u["rows"] for u in units] == [4, 4, 2]
    found = [s for u in units for s in split.read(u)]
    assert [(s.sample_id, s.label, s.captions) for s in found] == [(str(i), f"l{i}", (f"c{i}", "d")) for i in range(10)]


def test_too_long_missing_and_closed(tmp_path: Path) -> None:
    write_files(tmp_path, {"long": b"1234", "full": b"123", "folder/x": b""})
    location = Location(str(tmp_path), "public")
    found = list(read_files(location, ["long", "full", "none", "folder", "full/x"], most=3))
    assert found[1] == b"123"
    assert [f[0] for f in found if isinstance(f, tuple)] == ["too_many_bytes", "missing", "unreadable", "unreadable"]
    assert found[2] == ("missing", "public/none is not there")


def test_urls_and_absolute_paths(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/listed/a.jpg", b"A")
    write_files(tmp_path, {"b.jpg": b"B"})
    try:
        location = Location("memory://listed", "memory://listed")
        names = ["a.jpg", "memory://listed/a.jpg", "c.jpg"]
        assert list(read_files(location, names)) == [b"A", b"A", ("missing", "memory://listed/c.jpg is not there")]
        assert list(read_files(location, [str(tmp_path / "b.jpg"), f"file://{tmp_path}/b.jpg"])) == [b"B", b"B"]
    finally:
        fs.rm("/listed", recursive=True)


def test_a_password_in_a_url_is_not_shown() -> None:
    where, name = located(Location("x", "x"), "ftp://me:secret@host/a/b.jpg")
    assert (where.base, where.public, name) == ("ftp://me:secret@host/a", "ftp://host/a", "b.jpg")


def test_a_store_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise StoreError("down")

    monkeypatch.setattr(Location, "read", refuse)
    with pytest.raises(StoreError, match="down"):
        list(read_files(Location(str(tmp_path), "p"), ["a"]))
