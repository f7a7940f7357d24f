"""Byte ranges of the values inside a file, for readers that fetch one value and not its row group.

Legend: N rows of the file.
"""

import mmap
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

STORED = {  # how PLAIN stores the items of a list, by physical type
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FLOAT": np.dtype("<f4"),
    "DOUBLE": np.dtype("<f8"),
    "FIXED_LEN_BYTE_ARRAY": np.dtype("<f2"),
}
LEVELS = {"RLE", "BIT_PACKED"}  # encodings of the levels before a page's values
HEAD = 64  # bytes of a value that are searched for before all of it is compared
PIECE = 16 << 20  # bytes of values in memory at a time, if a single value is not larger


def locate(path: Path, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Where every row's value of a column lies in a local Parquet file.

    A binary, string or fixed-size binary value is its bytes. A fixed-size list is its items as Parquet stores them, in
    little-endian order: float16 in 2 bytes, float32 in 4, float64 and int64 in 8, and integers of up to 32 bits in 4.
    Every range was read back and equals the value. Memory: 16 MB of values; the file itself is mapped.

    Values are looked for one after the other. PLAIN stores them in the order of the rows, and no row straddles pages
    in a file with page indexes: therefore the first match after the previous one never lies beyond the true one, and
    every value is found.

    Args:
        column: stored PLAIN, uncompressed and without a dictionary; without nulls.

    Returns:
        Offsets in the file, int64 [N], and lengths in bytes, int64 [N].

    Raises:
        ValueError: there is no such column, its values are of another kind, or it is stored in another way.
    """
    with (
        pq.ParquetFile(path, memory_map=True) as file,
        path.open("rb") as f,
        mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as raw,
    ):
        leaf = _leaf(file, path, column)
        offset_N = np.empty(file.metadata.num_rows, np.int64)
        length_N = np.empty(file.metadata.num_rows, np.int64)
        row = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if not rows:
                continue
            at, stop = _chunk(file, path, leaf, group)
            batch_rows = max(1, PIECE * rows // (stop - at))
            for batch in file.iter_batches(batch_rows, [group], [column]):
                for prefix, value in _stored(batch.column(0), file.schema.column(leaf).physical_type, path, column):
                    begin = _find(raw, prefix + value, at, stop)
                    if begin < 0:
                        raise ValueError(f"{path}: row {row} of column '{column}' is not found in its row group")
                    at = begin + len(prefix) + len(value)
                    offset_N[row], length_N[row] = begin + len(prefix), len(value)
                    row += 1
    return offset_N, length_N


def locate_tar(path: Path) -> dict[str, tuple[int, int]]:
    """(Offset in the file, length in bytes) of every regular member of a local, uncompressed tar, by name.

    Raises:
        tarfile.ReadError: it is none.
    """
    with tarfile.open(path, "r:") as tar:
        return {member.name: (member.offset_data, member.size) for member in tar if member.isreg()}


def _leaf(file: pq.ParquetFile, path: Path, column: str) -> int:
    """The number of the column among Parquet's own."""
    names = [file.schema.column(i).path.partition(".")[0] for i in range(file.metadata.num_columns)]
    if column not in names:
        raise ValueError(f"{path} has no column '{column}'; it has {', '.join(file.schema_arrow.names)}")
    kind = file.schema_arrow.field(column).type
    if not _is_bytes(kind) and not (
        pa.types.is_fixed_size_list(kind)
        and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))
    ):
        raise ValueError(f"{path}: column '{column}' is {kind}: byte ranges are of binary, string or fixed-size lists")
    return names.index(column)


def _is_bytes(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_binary,
            pa.types.is_string,
            pa.types.is_large_binary,
            pa.types.is_large_string,
            pa.types.is_fixed_size_binary,
        )
    )


def _chunk(file: pq.ParquetFile, path: Path, leaf: int, group: int) -> tuple[int, int]:
    """First byte of a column chunk, and the first after it."""
    chunk = file.metadata.row_group(group).column(leaf)
    faults = [f"compressed ({chunk.compression})"] if chunk.compression != "UNCOMPRESSED" else []
    if chunk.has_dictionary_page:
        faults.append("a dictionary")
    elif other := set(chunk.encodings) - LEVELS - {"PLAIN"}:
        faults.append(f"encoded as {', '.join(sorted(other))}")
    if faults:
        raise ValueError(
            f"{path}: column '{chunk.path_in_schema}' is {' and '.join(faults)} in row group {group}: its values have "
            "byte ranges only if stored PLAIN, uncompressed and without a dictionary"
        )
    return chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size


def _stored(values: pa.Array, physical: str, path: Path, column: str) -> Iterator[tuple[bytes, bytes]]:
    """What PLAIN writes before each value, and for it."""
    if values.null_count or (pa.types.is_fixed_size_list(values.type) and values.flatten().null_count):
        raise ValueError(f"{path}: column '{column}' holds nulls, which have no bytes")
    if pa.types.is_fixed_size_list(values.type):
        items = values.flatten().to_numpy(zero_copy_only=False).astype(STORED[physical], copy=False)
        yield from ((b"", row.tobytes()) for row in items.reshape(len(values), values.type.list_size))
    elif pa.types.is_fixed_size_binary(values.type):
        yield from ((b"", value) for value in values.to_pylist())
    else:
        yield from ((len(v).to_bytes(4, "little"), v) for v in values.cast(pa.large_binary()).to_pylist())


def _find(raw: mmap.mmap, wanted: bytes, start: int, stop: int) -> int:
    """Where ``wanted`` first lies in raw[start:stop], or -1."""
    head = wanted[:HEAD]
    at = raw.find(head, start, stop)
    while at >= 0 and (at + len(wanted) > stop or raw[at : at + len(wanted)] != wanted):
        at = raw.find(head, at + 1, stop)
    return at
