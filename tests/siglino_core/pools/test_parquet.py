"""Parquet pools: the layouts in use, how rows are shared out, and what errors say."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.config import LabelFolder, SourceConfig
from siglino_core.errors import DataError
from siglino_core.pools import parquet
from siglino_core.pools.record import Found, Passed, Refused
from siglino_core.pools.sniff import open_pool, read
from tests.pools import parquet_file, write_files


def everything(path: Path, **settings: Any) -> list[Found | Refused | Passed]:
    config = SourceConfig(uri=str(path), **settings)
    pool = open_pool(config)
    return [item for shard in pool.plan(config) for item in read(pool.format, pool.location, shard, config)]


def described(items: list[Found | Refused | Passed]) -> list[tuple[str, int, bytes, str | None, str | None]]:
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
        (
            {"picture": ["u"], "text": ["t"]},
            {},
            r"no column of image bytes.*It has picture \(string\), text \(string\)",
        ),
        ({"URL": ["u"], "TEXT": ["t"]}, {}, r"no images, only where they are \(URL\).*img2dataset .*--url_col URL"),
        ({"image": ["path.jpg"]}, {}, r"no column of image bytes.*image \(string\)"),
        ({"image": [b"1"]}, {"image_column": "pixels"}, r"source.image_column=pixels is not there.*image \(binary\)"),
        ({"image": [b"1"], "n": [1]}, {"image_column": "n"}, "source.image_column=n is int64, not bytes"),
        ({"image": [b"1"]}, {"caption_column": "c"}, "source.caption_column=c is not there"),
        ({"image": [b"1"], "s": [0.5]}, {"label_column": "s"}, "source.label_column=s is double, not text"),
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


@settings(max_examples=40)
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


def test_a_download_that_failed_is_no_broken_image(tmp_path: Path) -> None:
    status = ["success", "failed_to_download", "failed_to_resize", "success"]
    columns = {"jpg": [b"1", None, None, None], "status": status, "error_message": [None, "HTTP Error 404", None, None]}
    items = everything(parquet_file(tmp_path / "0.parquet", columns))
    assert [(i.reason, i.error) for i in items if isinstance(i, Refused)] == [
        ("not_downloaded", "failed_to_download: HTTP Error 404"),
        ("not_downloaded", "failed_to_resize"),
        ("no_bytes", "row 3 holds no image"),
    ]


def test_a_path_alone_is_read_beside_its_file_and_never_outside_the_pool(tmp_path: Path) -> None:
    write_files(tmp_path, {"secret.jpg": b"s", "p/data/img/1.jpg": b"1", "p/2.jpg": b"2"})
    paths = [
        "img/1.jpg",
        "../2.jpg",
        "../../secret.jpg",
        f"{tmp_path}/secret.jpg",
        "http://h/1.jpg",
        "img/3.jpg",
        "img",
    ]
    parquet_file(tmp_path / "p/data/0.parquet", {"image": [{"bytes": None, "path": path} for path in paths]})
    items = everything(tmp_path / "p")
    found = [(i.key, i.uri, i.data) for i in items if isinstance(i, Found)]
    assert found == [("img/1.jpg", f"{tmp_path}/p/data/img/1.jpg", b"1"), ("../2.jpg", f"{tmp_path}/p/2.jpg", b"2")]
    errors = [i.error for i in items if isinstance(i, Refused)]
    assert [("leads out of the pool" in e, "not in the pool" in e) for e in errors[:4]] == [(True, False)] * 3 + [
        (False, True)
    ]
    assert "is a folder" in errors[4]


@pytest.mark.parametrize("struct", [False, True])
def test_one_picture_of_many_rows_is_one_in_memory(tmp_path: Path, struct: bool) -> None:
    pictures = [b"a" * 500_000, b"b" * 500_000, None]
    values = [pictures[i % 3] for i in range(1500)]
    images = [{"bytes": v, "path": f"{i}"} for i, v in enumerate(values)] if struct else pa.array(values, pa.binary())
    path = parquet_file(tmp_path / "a.parquet", {"image": images, "n": list(range(1500))}, row_group_size=1500)
    assert path.stat().st_size < 4 << 20
    before, seen = pa.total_allocated_bytes(), 0
    config = SourceConfig(uri=str(path))
    pool = open_pool(config)
    (shard,) = list(pool.plan(SourceConfig(uri=str(path), rows_per_shard=2000)))
    assert 900_000 < shard["page"] < 4 << 20
    for i, item in enumerate(read(pool.format, pool.location, shard, config)):
        seen += 1
        assert getattr(item, "data", None) == values[i]
        assert pa.total_allocated_bytes() - before < 32 << 20
    assert seen == 1500


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_dictionaries_of_images_and_labels(tmp_path: Path, kind: pa.DataType) -> None:
    images = pa.array([b"1", b"2", b"1", None], kind)
    if kind == pa.binary():
        images = images.dictionary_encode()
    labels = pa.array(["x", "y", "x", "y"]).dictionary_encode()
    items = everything(parquet_file(tmp_path / "a.parquet", {"image": images, "label": labels}))
    assert described(items) == [("0", 0, b"1", None, "x"), ("1", 1, b"2", None, "y"), ("2", 2, b"1", None, "x")]


def test_a_warehouses_folder(tmp_path: Path) -> None:
    for name, rows in (("label=big%20cat", 2), ("label=dog", 0), ("label=__HIVE_DEFAULT_PARTITION__", 1)):
        columns = {"content": pa.array([b"%d" % i for i in range(rows)], pa.binary())}
        parquet_file(tmp_path / name / "part-0.snappy.parquet", columns)
        write_files(tmp_path / name, {".part-0.crc": b"crc"})
    write_files(tmp_path, {"_SUCCESS": b"", "_metadata": b"PAR1"})
    assert [d[2:] for d in described(everything(tmp_path))] == [
        (b"0", None, None),
        (b"0", None, "big cat"),
        (b"1", None, "big cat"),
    ]
    assert open_pool(SourceConfig(uri=str(tmp_path))).passed == {"hidden": 3, "other_file": 2}


def test_a_caption_column_without_a_value_hides_no_other(tmp_path: Path) -> None:
    columns = {"image": [b"1", b"2", b"3"], "text": ["a", None, ""], "caption": [None, " ", "c"], "alt": list("xyz")}
    path = parquet_file(tmp_path / "a.parquet", columns)
    assert [caption for *_, caption, _ in described(everything(path))] == ["a", "y", "c"]
    assert [caption for *_, caption, _ in described(everything(path, caption_column="text"))] == ["a", None, None]


def test_a_caption_that_is_too_long_is_left_out_and_counted(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", {"image": [b"1"], "caption": ["x" * ((1 << 20) + 1)]})
    items = everything(path)
    assert described(items) == [("0", 0, b"1", None, None)]
    assert [i.what for i in items if isinstance(i, Passed)] == ["text_too_long"]


def test_labels_from_the_folders_of_a_rows_key_when_asked(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", {"image": [b"1"], "path": ["cat/deep/1.jpg"]})
    asked = [described(everything(path, label_folder=LabelFolder(rule)))[0][4] for rule in ("auto", "first", "parent")]
    assert asked == [None, "cat", "deep"]


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.table([pa.array([b"1"]), pa.array(["a"]), pa.array(["b"])], names=["image", "text", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="two columns are named text"):
        everything(tmp_path)


def test_one_column_for_both_when_asked(tmp_path: Path) -> None:
    path = parquet_file(tmp_path / "a.parquet", {"image": [b"1"], "text": ["x"]})
    assert described(everything(path, caption_column="text", label_column="text")) == [("0", 0, b"1", "x", "x")]


def test_a_path_with_a_zero_is_a_reject(tmp_path: Path) -> None:
    parquet_file(tmp_path / "a.parquet", {"image": [{"bytes": None, "path": "a\0b"}, {"bytes": b"2", "path": "c"}]})
    assert [type(i).__name__ for i in everything(tmp_path)] == ["Refused", "Found"]
