"""Tars in every wrapping."""

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from siglino_core.errors import StoreError, UnreadableError
from siglino_core.pools import tars
from siglino_core.pools.location import Location
from tests.pools import tar_bytes, write_files

MEMBERS = [("a.jpg", b"1" * 700), ("b.jpg", b"2" * 30)]
WHOLE = tar_bytes(MEMBERS)
PACKED = {
    "": WHOLE,
    "gzip": gzip.compress(WHOLE),
    "bzip2": bz2.compress(WHOLE),
    "xz": lzma.compress(WHOLE),
    "zstd": pa.compress(WHOLE, "zstd", asbytes=True),
}


def contents(location: Location, name: str = "a.tar") -> list[tuple[str, bytes]]:
    found = []
    with tars.opened(location, name) as tar:
        assert tar.fault is None
        for m in tars.members(tar.file):
            tar.file.seek(m.offset)
            found.append((m.name, tar.file.read(m.size)))
    return found


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("remote", [False, True])
def test_every_compression_near_and_far(tmp_path: Path, kind: str, remote: bool) -> None:
    location = Location(str(tmp_path), str(tmp_path))
    write_files(tmp_path, {"a.tar": PACKED[kind]})
    if remote:
        location = Location(f"memory:/{tmp_path}", "m")
        fsspec.filesystem("memory").pipe_file(f"{tmp_path}/a.tar", PACKED[kind])
    assert contents(location) == MEMBERS
    with tars.opened(location, "a.tar") as tar:
        assert tar.packed == kind


@pytest.mark.parametrize(
    ("kind", "damage"), [*((k, "cut") for k in list(PACKED)[1:]), *((k, "flipped") for k in ("gzip", "bzip2", "xz"))]
)
def test_what_lies_before_the_damage_is_read(tmp_path: Path, kind: str, damage: str) -> None:
    data = PACKED[kind]
    middle = len(data) // 2
    data = data[:middle] if damage == "cut" else data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    write_files(tmp_path, {"a.tar": data})
    with tars.opened(Location(str(tmp_path), "m"), "a.tar") as tar:
        assert tar.fault is not None
        assert tar.fault.reason == "truncated_tar"


@pytest.mark.parametrize("kind", list(PACKED)[1:])
@pytest.mark.parametrize("junk", [b"garbage" * 30, bytes(100), b"\xff" * 3])
def test_what_stands_behind_a_compression_costs_nothing_before_it(tmp_path: Path, kind: str, junk: bytes) -> None:
    write_files(tmp_path, {"a.tar": PACKED[kind] + junk})
    with tars.opened(Location(str(tmp_path), "m"), "a.tar") as tar:
        assert tar.file.read() == WHOLE
        assert tar.fault is None or tar.fault.reason == "truncated_tar"


def test_a_compressed_bomb_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "SPARE", 1 << 20)
    write_files(tmp_path, {"a.tar": gzip.compress(bytes(40 << 20))})
    with tars.opened(Location(str(tmp_path), "m"), "a.tar") as tar:
        assert tar.fault is not None
        assert (tar.fault.reason, "unpacks to more than" in str(tar.fault)) == ("corrupt_tar", True)


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.jpg")
    info.type, info.size = tarfile.XHDTYPE, 3 << 30
    with (tmp_path / "a.tar").open("wb") as f:
        f.write(info.tobuf(tarfile.USTAR_FORMAT))
        f.truncate(4 << 30)  # on the disk it takes no room
        with pytest.raises(tars.TarFault, match="header of"):
            list(tars.members((tmp_path / "a.tar").open("rb")))


def test_no_room_to_unpack_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"a.tar": PACKED["gzip"]})

    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(tars.tempfile, "TemporaryFile", Full)
    with (
        pytest.raises(StoreError, match=r"has no room to unpack m/a\.tar.*set TMPDIR"),
        tars.opened(Location(str(tmp_path), "m"), "a.tar"),
    ):
        pass


def test_a_folder_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "a.tar").mkdir()
    with pytest.raises(UnreadableError, match="is a folder"), tars.opened(Location(str(tmp_path), "m"), "a.tar"):
        pass
