"""What lies under a folder, with links, pipes, braces and brackets."""

import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from siglino_core.errors import DataError
from siglino_core.pools.listing import under
from tests.pools import write_files

LOCAL = fsspec.filesystem("file")


def listed(path: Path | str) -> dict[str, int]:
    return under(LOCAL, str(path), local=True).sizes


def test_links_are_followed_once(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "pool", {"here/1.png": b"1", "z/2.png": b"22"})
    write_files(tmp_path / "elsewhere", {"3.png": b"333"})
    (pool / "there").symlink_to(tmp_path / "elsewhere")
    (pool / "a_again").symlink_to(pool / "z")
    (pool / "here/up").symlink_to(pool)
    (tmp_path / "elsewhere/round").symlink_to(tmp_path / "elsewhere")
    (pool / "one.png").symlink_to(pool / "z/2.png")
    (pool / "gone.png").symlink_to(pool / "nothing")
    found = under(LOCAL, str(pool), local=True)
    assert found.sizes == {"gone.png": 0, "here/1.png": 1, "one.png": 2, "there/3.png": 3, "z/2.png": 2}
    assert found.passed == {"folder_linked_again": 3}
    (tmp_path / "link").symlink_to(pool)
    assert listed(tmp_path / "link") == found.sizes
    assert set(listed(f"{pool}/**/*.png")) == set(found.sizes)


def test_pipes_are_listed_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert listed(tmp_path) == {"a.jpg": 0} == listed(tmp_path / "a.jpg")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list everything")
def test_a_folder_without_access_is_counted(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/1.jpg": b"1", "lost+found/x": b""})
    (tmp_path / "lost+found").chmod(0)
    assert under(LOCAL, str(tmp_path), local=True).passed == {"folder_without_access": 1}


def in_memory(folder: Path, files: dict[str, bytes]) -> Callable[[str], dict[str, int]]:
    fs = fsspec.filesystem("memory")
    for name, data in files.items():
        fs.pipe_file(f"{folder}/{name}", data)
    return lambda pattern: under(fs, f"{folder}/{pattern}", local=False).sizes


def on_disk(folder: Path, files: dict[str, bytes]) -> Callable[[str], dict[str, int]]:
    write_files(folder, files)
    return lambda pattern: listed(f"{folder}/{pattern}")


@pytest.mark.parametrize("made", [in_memory, on_disk])
def test_webdatasets_braces(tmp_path: Path, made: Callable[..., Callable[[str], dict[str, int]]]) -> None:
    look = made(tmp_path, {f"{part}/{i:05d}.tar": bytes(i) for part in ("a", "b c") for i in range(12)})
    assert look("a/{00000..00002}.tar") == {f"{i:05d}.tar": i for i in range(3)}
    assert list(look("a/{00009..00011}.tar")) == ["00009.tar", "00010.tar", "00011.tar"]
    assert list(look("{a,b c}/0000{1,3}.tar")) == ["a/00001.tar", "a/00003.tar", "b c/00001.tar", "b c/00003.tar"]
    assert len(look("{a,b c}/*1.tar")) == 4
    with pytest.raises(DataError, match=r"2 of the 4 files that it names are not there, the first is 00012\.tar"):
        look("a/{00010..00013}.tar")
    with pytest.raises(DataError, match="Give their folder"):
        look("a/{0..99999999}.tar")


@pytest.mark.parametrize("made", [in_memory, on_disk])
def test_brackets_of_a_folder_are_its_name(
    tmp_path: Path, made: Callable[..., Callable[[str], dict[str, int]]]
) -> None:
    names = {"set [1]/{x}/0.tar": b"0", "set [1]/{x}/1.tar": b"1", "set 1/y/2.tar": b"2"}
    look = made(tmp_path, names)
    assert list(look("set [1]/{x}")) == ["0.tar", "1.tar"]
    assert list(look("set [1]/{x}/*.tar")) == ["0.tar", "1.tar"]
    assert list(look("set [1]/*/[1]*")) == ["{x}/1.tar"] or list(look("set [1]/*/[1]*")) == ["1.tar"]
    assert list(look("set [1]/{x}/{0..1}.tar")) == ["0.tar", "1.tar"]
