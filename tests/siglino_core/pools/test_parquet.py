"""Parquet pools: the layouts in use, how rows are shared out, and what errors say."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.config import SourceConfig
from siglino_core.errors import DataError
from siglino_core.pools import parquet
from siglino_core.pools.record import Found, Refused
from siglino_core.pools.sniff import open_pool, read
from tests.pools import parquet_file


def everything(path: Path, **settings: Any) -> list[Found | Refused]:
    config = SourceConfig(uri=str(path), **settings)
    pool = open_pool(config)
    return [item for shard in pool.plan(config) for item in read(pool.format, pool.location, shard, config)]


def described(items: list[Found | Refused]) -> list[tuple[str, int, bytes, str | None, str | None]]:
    return [(i.key, i.offset, i.data, i.caption, i.label) for i in items if isinstance(i, Found)]


def test_img2dataset(tmp_path: Path) -> None:
    parquet_file(
        tmp_path / "0.parquet",
        {"jpg": [b"1", None, b"3"], "key": ["k1", "k2", "k3"], "TEXT": ["one", "two", " "], "class": ["a", "b", None]},
    )
    items = everything(tmp_path)
    assert described(items) == [("k1", 0, b"1", "one", "a"), ("k3", 2, b"3", None, None)]
    assert isinstance(items[1], Refused)
    assert (items[1].key, items[1].reason) == ("k2", "no_bytes")


def test_hugging_face(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    images = [{"bytes": b"1", "path": "a.jpg"}, {"bytes": b"2", "path": None}, {"bytes": None, "path": "c.jpg"}, None]
    images.append({"bytes": b"5", "path": "e.jpg"})
    parquet_file(
        tmp_path / "train.parquet",
        {"image": images, "label": [1, 0, 1, 0, -1]},
        huggingface=json.dumps({"info": {"features": features}}).encode(),
    )
    items = everything(tmp_path)
    assert described(items) == [
        ("a.jpg", 0, b"1", None, "dog"),
        ("1", 1, b"2", None, "cat"),
        ("e.jpg", 4, b"5", None, None),
    ]
    assert [(i.key, i.reason) for i in items if isinstance(i, Refused)] == [("c.jpg", "no_bytes"), ("3", "no_bytes")]


@pytest.mark.parametrize("metadata", [b"{", b"{}", b"[1]", b'{"info": {"features": {"label": {"names": 3}}}}'])
def test_odd_hugging_face_metadata_leaves_the_numbers(tmp_path: Path, metadata: bytes) -> None:
    parquet_file(tmp_path / "a.parquet", {"image": [b"1", b"2"], "label": [7, None]}, huggingface=metadata)
    assert [d[-1] for d in described(everything(tmp_path))] == ["7", None]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_every_kind_of_bytes(tmp_path: Path, kind: pa.DataType) -> None:
    parquet_file(tmp_path / "a.parquet", {"img": pa.array([b"1", b"22"], kind), "captions": [["x", "y"], []]})
    assert described(everything(tmp_path)) == [("0", 0, b"1", "x", None), ("1", 1, b"22", None, None)]


def test_columns_that_were_asked_for(tmp_path: Path) -> None:
    path = parquet_file(
        tmp_path / "a.parquet",
        {"image": [b"1"], "thumb": [b"t"], "caption": ["c"], "alt": ["a"], "label": ["l"], "species": [3]},
    )
    asked = {"image_column": "thumb", "caption_column": "alt", "label_column": "species"}
    assert described(everything(path, **asked)) == [("0", 0, b"t", "a", "3")]


@pytest.mark.parametrize(
    ("columns", "settings", "says"),
    [
        ({"url": ["u"], "text": ["t"]}, {}, r"no column of image bytes.*It has url \(string\), text \(string\)"),
        ({"image": ["path.jpg"]}, {}, r"no column of image bytes.*image \(string\)"),
        ({"image": [b"1"]}, {"image_column": "pixels"}, r"source.image_column=pixels is not there.*image \(binary\)"),
        ({"image": [b"1"], "n": [1]}, {"image_column": "n"}, "source.image_column=n is int64, not bytes"),
        ({"image": [b"1"]}, {"caption_column": "c"}, "source.caption_column=c is not there"),
        ({"image": [b"1"]}, {"label_column": "l"}, "source.label_column=l is not there"),
    ],
)
def test_a_column_that_is_not_there(tmp_path: Path, columns: Any, settings: Any, says: str) -> None:
    path = parquet_file(tmp_path / "a.parquet", columns)
    with pytest.raises(DataError, match=says) as caught:
        everything(tmp_path, **settings)
    assert str(path) in str(caught.value)


def test_one_file_of_another_schema_is_named(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a.parquet", {"image": [b"1"]})
    parquet_file(tmp_path / "b.parquet", {"other": [b"1"]})
    with pytest.raises(DataError, match=r"b\.parquet: no column"):
        everything(tmp_path)


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_file_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.parquet").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        everything(tmp_path)


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", {"image": [bytes([i]) * 5000 for i in range(10)]})
    data = bytearray(path.read_bytes())
    data[4:60] = b"\xff" * 56
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as Parquet"):
        everything(tmp_path)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=5), st.integers(1, 15))
def test_every_row_is_read_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[int, int]], rows_per_shard: int
) -> None:
    folder = tmp_path_factory.mktemp("pool")
    expected = []
    for f, (rows, group) in enumerate(files):
        images = pa.array([b"%d.%d" % (f, i) for i in range(rows)], pa.binary())
        parquet_file(folder / f"{f}.parquet", {"image": images}, row_group_size=group)
        expected += [(b"%d.%d" % (f, i), i) for i in range(rows)]
    config = SourceConfig(uri=str(folder), rows_per_shard=rows_per_shard)
    pool = open_pool(config)
    shards = list(pool.plan(config))
    assert all(0 < s["rows"] <= rows_per_shard for s in shards)
    found = [item for s in shards for item in read(pool.format, pool.location, s, config)]
    assert [(i.data, i.offset) for i in found if isinstance(i, Found)] == expected
    assert sum(s["rows"] for s in shards) == len(expected)


def test_row_groups_are_not_cut_without_need(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a.parquet", {"image": [b"x"] * 25}, row_group_size=10)
    parquet_file(tmp_path / "b.parquet", {"image": [b"x"] * 3}, row_group_size=10)
    pool = open_pool(SourceConfig(uri=str(tmp_path)))

    def reads(rows: int) -> list[Any]:
        return [s["reads"] for s in pool.plan(SourceConfig(rows_per_shard=rows))]

    a, b = "a.parquet", "b.parquet"
    assert reads(12) == [[[a, 0, 10]], [[a, 10, 20]], [[a, 20, 25], [b, 0, 3]]]
    assert reads(8) == [[[a, 0, 5]], [[a, 5, 10]], [[a, 10, 15]], [[a, 15, 20]], [[a, 20, 25], [b, 0, 3]]]
    assert reads(100) == [[[a, 0, 25], [b, 0, 3]]]


def test_a_batch_holds_no_more_than_its_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet_file(tmp_path / "a.parquet", {"image": [bytes([i]) * 1000 for i in range(40)]}, row_group_size=20)
    monkeypatch.setattr(parquet, "BATCH_BYTES", 5000)
    location = open_pool(SourceConfig(uri=str(tmp_path))).location
    with location.parquet("a.parquet") as file:
        got = [(first, batch.num_rows) for first, batch in parquet.batches(file, ["image"], 7, 33)]
    assert sum(n for _, n in got) == 26
    assert got[0][0] == 7
