"""Where pools lie: folders, files, globs, packages and remote stores; and what errors say."""

import os
from pathlib import Path

import fsspec
import pytest

from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.pools.location import Location, find, locate, public_url
from tests.pools import write_files

FILES = {
    "a/1.jpg": b"1",
    "a/2.jpg": b"22",
    "b/3.jpg": b"333",
    "c.tar": b"4444",
    ".hidden/x.jpg": b"5",
    "__MACOSX/y": b"6",
}


def sizes(uri: str) -> tuple[Location, dict[str, int]]:
    location, listing = find(uri)
    return location, listing.sizes


def test_folders_files_and_globs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = write_files(tmp_path / "pool", FILES)
    everything = {"a/1.jpg": 1, "a/2.jpg": 2, "b/3.jpg": 3, "c.tar": 4}
    location, listing = find(str(pool))
    assert listing.sizes == everything
    assert listing.passed == {"hidden": 2}
    assert location.url("a/1.jpg") == f"{pool}/a/1.jpg"
    monkeypatch.chdir(tmp_path)
    for uri in (f"file://{pool}", f"{pool}/", "pool"):
        assert sizes(uri) == (location, everything)
    assert sizes(f"{pool}/c.tar") == (location, {"c.tar": 4})
    assert sizes(f"{pool}/*.tar") == (location, {"c.tar": 4})
    assert sizes(f"{pool}/[ab]") == (location, {"a/1.jpg": 1, "a/2.jpg": 2, "b/3.jpg": 3})
    assert sizes(f"{pool}/a/?.jpg")[1] == {"1.jpg": 1, "2.jpg": 2}
    assert sizes(f"{pool}/**/*.jpg")[1] == {"a/1.jpg": 1, "a/2.jpg": 2, "b/3.jpg": 3}


def test_a_folder_with_a_bracket_in_its_name_is_a_folder(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "set [2024]", {"1.jpg": b"1"})
    assert sizes(str(pool))[1] == {"1.jpg": 1}
    assert sizes(f"{pool}/*.jpg") == (find(str(pool))[0], {"1.jpg": 1})


def test_remote_pools() -> None:
    base = f"memory://location-{os.getpid()}"
    for name, data in FILES.items():
        fsspec.filesystem("memory").pipe_file(f"{base}/{name}", data)
    location, found = sizes(base)
    assert found == {"a/1.jpg": 1, "a/2.jpg": 2, "b/3.jpg": 3, "c.tar": 4}
    assert location.url("c.tar") == f"{base}/c.tar"
    assert location.read("c.tar", 99) == b"4444"
    assert list(location.read_many(["b/3.jpg", "a/1.jpg"], 99)) == [b"333", b"1"]
    assert find(f"{base}/a/*.jpg")[0].public == f"{base}/a"
    assert sizes(f"{base}/c.tar") == (location, {"c.tar": 4})
    assert sizes(f"{base}/[ab]")[1] == {"a/1.jpg": 1, "a/2.jpg": 2, "b/3.jpg": 3}
    assert sizes(f"{base}/a/{{1..2}}.jpg") == (locate(f"{base}/a"), {"1.jpg": 1, "2.jpg": 2})
    with pytest.raises(StoreError, match=f"{base}/gone"):
        location.read("gone", 99)


@pytest.mark.parametrize("uri", ["/no/such/folder", "memory://no-such-folder", "/no/such/*.tar", "memory://none/*.tar"])
def test_nothing_there(uri: str) -> None:
    with pytest.raises(DataError, match="nothing is there"):
        find(uri)


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing is there"):
        find(str(tmp_path))


@pytest.mark.parametrize(
    ("uri", "says"), [("", "^source.uri is not set. Give"), ("zip://*.jpg::s3://b/a.zip", "chained")]
)
def test_urls_that_cannot_be_pools(uri: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        find(uri)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(StoreError, match="nosuch"):
        find("nosuch://pool")


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("s3://bucket/pool", "s3://bucket/pool"),
        ("s3://key:secret@bucket/pool", "s3://bucket/pool"),
        ("sftp://user:pa%3Ass@host:22/pool", "sftp://host:22/pool"),
        ("abfs://container@account/pool", "abfs://container@account/pool"),
        ("https://host/a.tar?X-Amz-Signature=abc", "https://host/a.tar"),
        ("s3://bucket/part-?.tar", "s3://bucket/part-?.tar"),
        ("/data/a:b@c", "/data/a:b@c"),
    ],
)
def test_credentials_stay_out_of_what_is_written(url: str, public: str) -> None:
    assert public_url(url) == public


def test_a_file_inside_a_package() -> None:
    location, found = sizes("package://siglino_core/schema.py")
    assert location.url("schema.py") == "package://siglino_core/schema.py"
    assert found == {"schema.py": len(location.read("schema.py", 1 << 20))}
    assert locate("package://siglino_core/store").read("files.py", 1 << 20)
    for uri, says in (("package://nowhere/a.parquet", "no package 'nowhere'"), ("package://flows/a", "no such file")):
        with pytest.raises(DataError, match=says):
            find(uri)
