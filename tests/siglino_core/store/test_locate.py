"""Byte ranges inside a file: each holds its row's value, whatever the pages, the values and the kind."""

import io
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siglino_core.store.locate import locate, locate_tar

KINDS = {
    "binary": pa.binary(),
    "large": pa.large_binary(),
    "string": pa.string(),
    "fixed": pa.binary(7),
}
RNG = random.Random(0)
VALUES: dict[str, list[bytes]] = {
    "random": [RNG.randbytes(RNG.randrange(1, 300)) for _ in range(200)],
    "all equal": [b"the same"] * 150,
    "all empty": [b""] * 60,
    "empty between": [b"" if i % 3 else b"%d" % i for i in range(100)],
    "zeros of any length": [bytes(i % 9) for i in range(120)],
    "a value holds the next, with its length": [
        b"x" + (3).to_bytes(4, "little") + b"abc" + b"y",
        b"abc",
        (3).to_bytes(4, "little") + b"abc",
        b"abc",
        b"",
        b"\0\0\0\0",
    ]
    * 20,
    "alike at the start": [b"h" * 200 + bytes([i % 3]) for i in range(90)],
    "none": [],
}


def write(path: Path, column: pa.Array, rows: int = 50, **options: Any) -> Path:
    """A column between two others, in row groups of ``rows``."""
    n = len(column)
    table = pa.table({"before": pa.array(range(n), pa.int64()), "x": column, "after": pa.array(["abc"] * n)})
    options = {"compression": "none", "use_dictionary": False, "write_page_index": True, **options}
    pq.write_table(table, path, row_group_size=rows, **options)
    return path


def check(path: Path, wanted: Sequence[bytes]) -> None:
    """Every range holds its row's value, and begins no sooner than the one before it ends."""
    offset_N, length_N = locate(path, "x")
    assert (offset_N.dtype, length_N.dtype) == (np.int64, np.int64)
    data = path.read_bytes()
    assert [data[o : o + n] for o, n in zip(offset_N.tolist(), length_N.tolist(), strict=True)] == list(wanted)
    assert (offset_N[1:] >= (offset_N + length_N)[:-1]).all()


@pytest.mark.parametrize("page", [1, 300, 1 << 20])
@pytest.mark.parametrize("name", VALUES)
def test_binary_values_on_any_pages(tmp_path: Path, name: str, page: int) -> None:
    column = pa.array(VALUES[name], pa.binary())
    path = write(tmp_path / "x.parquet", column, data_page_size=page, write_batch_size=8)
    if VALUES[name]:
        assert pq.read_metadata(path).num_row_groups == -(-len(column) // 50)
    check(path, VALUES[name])


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_bytes(tmp_path: Path, kind: str, version: str) -> None:
    values = [b"%07d" % (i % 11) for i in range(130)]
    column = pa.array([v.decode() for v in values] if kind == "string" else values, KINDS[kind])
    check(write(tmp_path / "x.parquet", column, data_page_size=100, data_page_version=version), values)


@pytest.mark.parametrize(
    ("item", "stored"),
    [
        ("float16", "<f2"),
        ("float32", "<f4"),
        ("float64", "<f8"),
        ("int8", "<i4"),
        ("uint8", "<i4"),
        ("uint32", "<u4"),
        ("int64", "<i8"),
    ],
)
@pytest.mark.parametrize("page", [1, 1 << 20])
def test_fixed_size_lists(tmp_path: Path, item: str, stored: str, page: int) -> None:
    rows = np.random.default_rng(0).integers(-100 if item[0] != "u" else 0, 100, (120, 6)).astype(item)
    rows[10:30] = 0
    rows[40:60] = rows[40]
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 6)
    path = write(tmp_path / "x.parquet", column, data_page_size=page, write_batch_size=16)
    check(path, [row.astype(stored).tobytes() for row in rows])


def test_rows_larger_than_a_page(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 400_000)).astype(np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 400_000)
    check(write(tmp_path / "x.parquet", column), [row.tobytes() for row in rows])


def test_values_are_compared_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.parquet", pa.array(VALUES["random"], pa.binary()), rows=200)
    held = []
    real = pq.ParquetFile.iter_batches

    def watched(file: pq.ParquetFile, size: int, *args: Any) -> Any:
        held.append(size)
        return real(file, size, *args)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", watched)
    monkeypatch.setattr("siglino_core.store.locate.PIECE", 2000)
    check(path, VALUES["random"])
    assert len(held) == 1
    assert 5 < held[0] < 20  # rows of about 154 bytes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"compression": "zstd"}, r"column 'x' is compressed \(ZSTD\) in row group 0: .* stored PLAIN"),
        ({"compression": {"x": "snappy"}}, r"is compressed \(SNAPPY\)"),
        ({"use_dictionary": ["x"]}, "is a dictionary in row group 0"),
        ({"use_dictionary": ["x"], "compression": "gzip"}, r"is compressed \(GZIP\) and a dictionary"),
        ({"column_encoding": {"x": "DELTA_LENGTH_BYTE_ARRAY"}}, "is encoded as DELTA_LENGTH_BYTE_ARRAY"),
    ],
)
def test_refused_as_it_is_stored(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    path = write(tmp_path / "x.parquet", pa.array([b"a", b"b"], pa.binary()), **options)
    with pytest.raises(ValueError, match=said):
        locate(path, "x")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pa.array([1, 2]), "column 'x' is int64: byte ranges are of binary"),
        (pa.array([[1], [2, 3]]), "column 'x' is list"),
        (pa.array([[True]], pa.list_(pa.bool_(), 1)), "column 'x' is fixed_size_list"),
        (pa.array([b"a", None]), "column 'x' holds nulls"),
        (pa.array([[1.0, None]], pa.list_(pa.float32(), 2)), "column 'x' holds nulls"),
    ],
)
def test_refused_kinds(tmp_path: Path, column: pa.Array, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        locate(write(tmp_path / "x.parquet", column), "x")


def test_no_such_column(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", pa.array([b"a"]))
    with pytest.raises(ValueError, match=r"x\.parquet has no column 'y'; it has before, x, after"):
        locate(path, "y")


def test_a_value_that_the_file_does_not_hold_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", pa.array(VALUES["random"], pa.binary()))
    data = bytearray(path.read_bytes())
    at = data.index(VALUES["random"][70])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("siglino_core.store.locate.mmap.mmap", lambda *_, **__: _Bytes(data))
        check(path, VALUES["random"])
        data[at] ^= 1
        with pytest.raises(ValueError, match="row 70 of column 'x' is not found in its row group"):
            locate(path, "x")


class _Bytes(bytearray):
    """What a map is, with other contents than the file's."""

    def __enter__(self) -> "_Bytes":
        return self

    def __exit__(self, *_: object) -> None: ...


def test_members_of_a_tar(tmp_path: Path) -> None:
    members = {"a.jpg": b"first" * 200, "a.json": b"{}", "empty": b"", "x" * 120 + ".jpg": b"long name"}
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = path.read_bytes()
    assert {name: data[o : o + n] for name, (o, n) in locate_tar(path).items()} == members


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    with pytest.raises(tarfile.ReadError):
        locate_tar(tmp_path / "x.tar")
