"""Image folders: labels from folders, captions from the files beside the images."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from siglino_core.config import Format, Keep, SourceConfig
from siglino_core.errors import ConfigError, DataError
from siglino_core.pools import imagefolder
from siglino_core.pools.record import Found, Passed, Refused
from siglino_core.pools.sniff import open_pool, read
from tests.pools import write_files


def everything(folder: Path, **settings: Any) -> list[Found | Refused | Passed]:
    config = SourceConfig(uri=str(folder), format=Format.IMAGEFOLDER, **settings)
    pool = open_pool(config)
    return [item for shard in pool.plan(config) for item in read(pool.format, pool.location, shard, config)]


def described(items: list[Found | Refused | Passed]) -> list[tuple[str, str | None, str | None]]:
    return [(i.key, i.label, i.caption) for i in items if isinstance(i, Found)]


def test_labels_and_captions(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        {
            "root.jpg": b"1",
            "root.json": json.dumps({"caption": "of the root", "label": "none"}).encode(),
            "cat/a.jpg": b"2",
            "cat/a.txt": b" a cat\n",
            "cat/a.json": b'{"caption": "unused"}',
            "cat/deep/b.PNG": b"3",
            "cat/deep/b.json": b'{"TEXT": ["deep", "second"]}',
            "dog/c.webp": b"4",
            "dog/c.json": b"[1, 2",
            "dog/d.txt": b"of no image",
            "dog/e.heic": b"5",
        },
    )
    assert described(everything(tmp_path)) == [
        ("cat/a.jpg", "cat", "a cat"),
        ("cat/deep/b.PNG", "cat", "deep"),
        ("dog/c.webp", "dog", None),
        ("dog/e.heic", "dog", None),
        ("root.jpg", "none", "of the root"),
    ]


def test_columns_that_were_asked_for(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jpg": b"1", "a.json": b'{"caption": "x", "alt": "y", "label": 1, "species": 7}'})
    assert described(everything(tmp_path, caption_column="alt", label_column="species")) == [("a.jpg", "7", "y")]


def test_order_is_that_of_the_names_whatever_the_windows(tmp_path: Path) -> None:
    names = [f"{i % 7}/{i:04d}.jpg" for i in range(100)]
    write_files(tmp_path, {n: n.encode() for n in names} | {n[:-3] + "txt": n[::-1].encode() for n in names[::3]})
    for rows in (1, 7, 50, 1000):
        items = everything(tmp_path, rows_per_shard=rows)
        assert [i.key for i in items] == sorted(names)
        for item in items:
            assert isinstance(item, Found)
            assert item.data == item.key.encode()
            assert item.caption == (item.key[::-1] if item.key in names[::3] else None)


def test_a_folder_that_all_images_share_is_no_label(tmp_path: Path) -> None:
    write_files(tmp_path, {f"set/{kind}/{i}.jpg": b"x" for kind in ("ant", "bee") for i in range(3)})
    for rows in (2, 100):
        labels = [label for _, label, _ in described(everything(tmp_path, rows_per_shard=rows))]
        assert labels == ["ant"] * 3 + ["bee"] * 3


def test_a_long_file_is_refused_unread(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jpg": bytes(11), "b.jpg": bytes(10), "b.txt": b"of b", "a.txt": b"of a"})
    first, second = everything(tmp_path, max_bytes=10)
    assert isinstance(first, Refused)
    assert (first.reason, first.key, first.error) == ("too_many_bytes", "a.jpg", "11 bytes, more than 10")
    assert isinstance(second, Found)
    assert second.caption == "of b"


def test_shards_hold_as_many_images_as_asked() -> None:
    files = {f"{i}.jpg": 1 for i in range(10)} | {"0.txt": 5}
    joined = imagefolder.belongs(files, SourceConfig())
    assert [s["rows"] for s in imagefolder.plan(files, joined, {}, 4)] == [4, 4, 2]


def test_what_is_empty_hides_nothing(tmp_path: Path) -> None:
    values = [
        {"caption": None, "text": "real", "label": [], "class": "dog"},
        {"caption": "", "alt_text": ["", "second"], "label": float("nan"), "class": 3.0},
    ]
    write_files(tmp_path, {f"cat/{i}.jpg": b"%d" % i for i in range(2)})
    write_files(tmp_path, {f"cat/{i}.json": json.dumps(v).encode() for i, v in enumerate(values)})
    assert described(everything(tmp_path)) == [("cat/0.jpg", "dog", "real"), ("cat/1.jpg", "3", "second")]


def test_captions_with_a_mark_of_their_order(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"a.jpg": b"1", "a.txt": "\ufeffone".encode(), "b.jpg": b"2", "b.txt": "two".encode("utf-16")}
    )
    assert [caption for _, _, caption in described(everything(tmp_path))] == ["one", "two"]


def test_a_key_that_is_asked_for_must_be_there_and_then_no_folder_is_a_label(tmp_path: Path) -> None:
    write_files(tmp_path, {"cat/a.jpg": b"1", "cat/a.json": b'{"kind": "x"}', "cat/b.jpg": b"2"})
    assert described(everything(tmp_path, label_column="kind")) == [("cat/a.jpg", "x", None), ("cat/b.jpg", None, None)]
    with pytest.raises(ConfigError, match=r"source\.caption_column=zzz is not there.*has kind"):
        everything(tmp_path, caption_column="zzz")
    (tmp_path / "cat/a.json").unlink()
    with pytest.raises(ConfigError, match="has none"):
        everything(tmp_path, caption_column="zzz")


@pytest.mark.parametrize(
    "text", [b"file_name;text\na.jpg;x\n", b"image,text\na.jpg,x\n", "file_name,text\na.jpg,x".encode("utf-16")]
)
def test_metadata_that_names_no_image_is_an_error(tmp_path: Path, text: bytes) -> None:
    write_files(tmp_path, {"a.jpg": b"1", "metadata.csv": text})
    with pytest.raises(DataError, match=r"metadata\.csv names no image"):
        everything(tmp_path)


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"1")
    assert isinstance(everything(tmp_path)[0], Found)
    (item,) = everything(tmp_path, keep=Keep.POINTER)
    assert isinstance(item, Refused)
    assert "source.keep=bytes" in item.error
