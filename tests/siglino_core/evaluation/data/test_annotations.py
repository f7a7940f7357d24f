"""Files that tell of images: encodings, what is no such file, and whose setting a message names."""

from pathlib import Path

import fsspec
import pytest

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data import annotations
from siglino_core.evaluation.data.annotations import json_of, named, read_text
from tests.pools import write_files


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("ä\nb".encode(encoding))
    read = read_text(str(tmp_path / "a.txt"))
    assert read.text == "ä\nb"
    assert (read.url, read.location.base) == (str(tmp_path / "a.txt"), str(tmp_path))


def test_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b"x", "b": b"\xef\xbb\xbfx"})
    assert read_text(str(tmp_path / "a")).digest != read_text(str(tmp_path / "b")).digest
    assert read_text(str(tmp_path / "a")).digest.startswith("2d711642b726b044")  # sha256sum of x


def test_a_url() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe_file("/told/a.txt", b"x")
    try:
        assert read_text("memory://told/a.txt").text == "x"
    finally:
        fs.rm("/told", recursive=True)


def test_what_is_no_such_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {"a/b.txt": b"1234", "bad": b"ab\xff"})
    with pytest.raises(DataError, match=r"classes=.*a: it is a folder"):
        read_text(str(tmp_path / "a"), "classes")
    with pytest.raises(DataError, match=r"annotations=.*none: nothing is there\. Give"):
        read_text(str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"no text in UTF-8 .* at byte 2"):
        read_text(str(tmp_path / "bad"))
    with pytest.raises(ConfigError, match="annotations is not set"):
        read_text("")
    monkeypatch.setattr(annotations, "MOST", 3)
    with pytest.raises(DataError, match="4 bytes are more than 3"):
        read_text(str(tmp_path / "a/b.txt"))


def test_json(tmp_path: Path) -> None:
    write_files(tmp_path, {"a": b'{"keep": [{"drop": 1, "x": {"drop": 2}}], "drop": 3}', "bad": b"[" * 100_000})
    read = read_text(str(tmp_path / "a"))
    assert json_of(read) == {"keep": [{"drop": 1, "x": {"drop": 2}}], "drop": 3}
    assert json_of(read, frozenset({"drop"})) == {"keep": [{"x": {}}]}
    with pytest.raises(DataError, match="is no JSON"):
        json_of(read_text(str(tmp_path / "bad")))


def test_messages_name_the_data_sets_own_setting() -> None:
    with pytest.raises(ConfigError, match=r"^train=x, and label_column$"), named("train"):
        raise ConfigError("source.uri=x, and source.label_column")
