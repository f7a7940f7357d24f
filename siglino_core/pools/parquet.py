"""Pools that are Parquet files with the encoded images in a column (img2dataset, LAION, Hugging Face)."""

import contextlib
import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core.config import LabelFolder, SourceConfig
from siglino_core.errors import StoreError, UnreadableError
from siglino_core.pools.columns import Columns, find_columns
from siglino_core.pools.labels import folder_label
from siglino_core.pools.location import Location, damaged
from siglino_core.pools.record import (
    MAX_TEXT,
    NOT_DOWNLOADED,
    TOO_LONG,
    Found,
    Passed,
    Refused,
    all_texts,
    text,
    too_long,
)
from siglino_core.store import Shard
from siglino_core.store.files import reported

BATCH_BYTES = 4 << 20  # read at once; a longer image is read alone
FOOTERS_AT_ONCE = 16


def plan(location: Location, files: dict[str, int], config: SourceConfig) -> Iterator[Shard]:
    """Shards of ``reads``, each [file, first row, end row]; only the footers are read.

    A row group of more than ``rows_per_shard`` rows is split into equal parts; smaller ones stay whole and share
    a shard, also across files. So no row group is read for the sake of a few rows at its edge.

    Raises:
        DataError: a file is no Parquet file, or lacks a column.
    """

    def row_groups(name: str) -> tuple[list[int], int]:
        with location.parquet(name) as file:
            columns = find_columns(file.schema_arrow, config, name, location.url(name))
            groups = [file.metadata.row_group(g) for g in range(file.num_row_groups)]
            return [g.num_rows for g in groups], max((_dictionary(g, columns.image)[1] for g in groups), default=0)

    reads: list[list[Any]] = []
    held = page = 0
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        for name, (groups, largest) in zip(files, pool.map(row_groups, files), strict=True):
            start = 0
            for part in (p for rows in groups for p in _split(rows, config.rows_per_shard)):
                if held + part > config.rows_per_shard:
                    yield {"reads": reads, "rows": held, "page": page}
                    reads, held, page = [], 0, 0
                if reads and reads[-1][0] == name:
                    reads[-1][2] += part
                else:
                    reads.append([name, start, start + part])
                start += part
                held += part
                page = max(page, largest)
    if held:
        yield {"reads": reads, "rows": held, "page": page}


def _split(rows: int, most: int) -> list[int]:
    """``rows`` in as few parts as fit ``most``, as equal as can be."""
    parts = -(-rows // most)
    return [rows * (i + 1) // parts - rows * i // parts for i in range(parts)]


def read(location: Location, shard: Shard, config: SourceConfig) -> Iterator[Found | Refused | Passed]:
    """The images of a shard, in row order.

    Raises:
        DataError: a file is damaged.
        StoreError: a file has gone or cannot be read.
    """
    for name, start, stop in shard["reads"]:
        url = location.url(name)
        with opened(location, name, config) as (file, columns), reported(url), damaged(url):
            for first, batch in batches(file, columns.names(), start, stop):
                yield from _rows(batch, first, columns, location, name, config)


@contextlib.contextmanager
def opened(location: Location, name: str, config: SourceConfig) -> Iterator[tuple[pq.ParquetFile, Columns]]:
    """A file, and its columns; one picture that stands for many rows stays one in memory.

    Raises:
        DataError: it is damaged, or lacks a column.
        StoreError: it has gone, or the store does not answer.
    """
    url = location.url(name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(reported(url))
        stack.enter_context(damaged(url))
        file = stack.enter_context(location.parquet(name))
        columns = find_columns(file.schema_arrow, config, name, url)
        coded = {_dictionary(file.metadata.row_group(g), columns.image)[0] for g in range(file.num_row_groups)}
        if coded - {""}:
            file = stack.enter_context(location.parquet(name, sorted(coded - {""})))
        yield file, columns


def _dictionary(group: Any, image: str) -> tuple[str, int]:
    """The path of the image column where it is coded by a dictionary, else empty; and that dictionary's bytes."""
    for i in range(group.num_columns):
        column = group.column(i)
        if column.path_in_schema in (image, f"{image}.bytes") and column.has_dictionary_page:
            packed = max(0, column.data_page_offset - (column.dictionary_page_offset or column.data_page_offset))
            growth = column.total_uncompressed_size / max(1, column.total_compressed_size)
            return column.path_in_schema, round(packed * max(1.0, growth))
    return "", 0


def batches(file: pq.ParquetFile, names: list[str], start: int, stop: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(first row, rows) of the rows [start, stop) of a file, about :data:`BATCH_BYTES` at a time."""
    first = 0
    for g in range(file.num_row_groups):
        group = file.metadata.row_group(g)
        if first < stop and first + group.num_rows > start:
            at = first
            size = max(1, min(1024, BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)))
            for batch in file.iter_batches(size, row_groups=[g], columns=names, use_threads=False):
                low, high = max(start, at), min(stop, at + batch.num_rows)
                if low < high:
                    yield low, batch.slice(low - at, high - low)
                at += batch.num_rows
                if at >= stop:
                    return
        first += group.num_rows


def image_of(value: pa.Scalar) -> tuple[bytes | None, str | None]:
    """The encoded image of a row, and its path where the column is a Hugging Face struct of both."""
    if isinstance(value, pa.StructScalar):
        fields = dict(value) if value.is_valid else {}
        path = fields["path"].as_py() if "path" in fields else None
        return fields["bytes"].as_py() if "bytes" in fields else None, text(path)
    return value.as_py(), None


def size_of(value: pa.Scalar) -> int:
    """Bytes of a row's encoded image, which is not copied for it."""
    if isinstance(value, pa.StructScalar):
        return size_of(value["bytes"]) if value.is_valid and "bytes" in dict(value) else 0
    if isinstance(value, pa.DictionaryScalar):
        return size_of(value.value) if value.is_valid else 0
    return value.as_buffer().size if value.is_valid else 0


def _rows(
    batch: pa.RecordBatch, first: int, columns: Columns, location: Location, name: str, config: SourceConfig
) -> Iterator[Found | Refused | Passed]:
    url = location.url(name)
    images = batch.column(columns.image)
    beside = {n: batch.column(n) for n in columns.names() if n != columns.image}

    def value(column: str | None, i: int) -> Any:
        return beside[column][i].as_py() if column else None

    for i, image in enumerate(images):
        key = text(value(columns.key, i)) or str(first + i)
        size = size_of(image)
        captions = next((c for column in columns.captions if (c := all_texts(value(column, i)))), ())
        label = columns.label_text(value(columns.label, i)) or columns.folder_label
        if size > config.max_bytes:
            yield too_long(url, key, size, config, label, captions)
            continue
        data, path = image_of(image)
        key, uri, offset = path or key, url, first + i
        if label is None and config.label_folder is not LabelFolder.AUTO:
            label = folder_label(key, config)
        if data is None:
            found = _elsewhere(location, name, path, config) if path else None
            if isinstance(found, bytes):
                data, uri, offset = found, location.url(_beside(name, path or "")), 0
            else:
                status = text(value(columns.status, i))
                bare = _without(url, key, first + i, status, text(value(columns.error, i)), found)
                yield replace(bare, label=label, captions=captions)
                continue
        caption = next(iter(captions), None)  # of several the first with a value
        if caption is not None and len(caption) > MAX_TEXT:
            yield Passed(uri=url, key=key, what=TOO_LONG)
            caption = None
        captions = tuple(c for c in captions if len(c) <= MAX_TEXT)
        yield Found(uri=uri, key=key, offset=offset, data=data, caption=caption, label=label, captions=captions)


def _without(url: str, key: str, row: int, status: str | None, error: str | None, why: str | None) -> Refused:
    """A row that holds no image: a download that failed is told apart from an image that is lacking."""
    if status and status.lower() != "success":
        return Refused(uri=url, key=key, reason=NOT_DOWNLOADED, error=f"{status}: {error}" if error else status)
    return Refused(uri=url, key=key, reason="no_bytes", error=why or f"row {row} holds no image")


def _elsewhere(location: Location, name: str, path: str, config: SourceConfig) -> bytes | str:
    """The image that a row names beside its file, or why there is none; no path leads out of the pool."""
    beside = _beside(name, path)
    if posixpath.isabs(path) or "://" in path or "\0" in path or beside.startswith("../"):
        return f"it holds a path alone, which leads out of the pool: {path[:200]}"
    try:
        return location.read(beside, config.max_bytes)
    except UnreadableError as e:
        return str(e)
    except StoreError as e:
        if not isinstance(e.__cause__, FileNotFoundError):
            raise
        return f"it holds a path alone, and {beside[:200]} is not in the pool"


def _beside(name: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
