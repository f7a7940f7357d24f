"""Pools that are Parquet files with the encoded images in a column (img2dataset, LAION, Hugging Face)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core.config import SourceConfig
from siglino_core.images.reasons import too_many_bytes
from siglino_core.pools.columns import Columns, find_columns
from siglino_core.pools.location import Location, damaged
from siglino_core.pools.record import Found, Refused, text
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

    def row_groups(name: str) -> list[int]:
        with location.parquet(name) as file:
            find_columns(file.schema_arrow, config, location.url(name))
            return [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]

    reads: list[list[Any]] = []
    held = 0
    with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
        for name, groups in zip(files, pool.map(row_groups, files), strict=True):
            start = 0
            for part in (p for rows in groups for p in _split(rows, config.rows_per_shard)):
                if held + part > config.rows_per_shard:
                    yield {"reads": reads, "rows": held}
                    reads, held = [], 0
                if reads and reads[-1][0] == name:
                    reads[-1][2] += part
                else:
                    reads.append([name, start, start + part])
                start += part
                held += part
    if held:
        yield {"reads": reads, "rows": held}


def _split(rows: int, most: int) -> list[int]:
    """``rows`` in as few parts as fit ``most``, as equal as can be."""
    parts = -(-rows // most)
    return [rows * (i + 1) // parts - rows * i // parts for i in range(parts)]


def read(location: Location, shard: Shard, config: SourceConfig) -> Iterator[Found | Refused]:
    """The images of a shard, in row order.

    Raises:
        DataError: a file is damaged.
        StoreError: a file has gone or cannot be read.
    """
    for name, start, stop in shard["reads"]:
        url = location.url(name)
        with reported(url), damaged(url), location.parquet(name) as file:
            columns = find_columns(file.schema_arrow, config, url)
            for first, batch in batches(file, columns.names(), start, stop):
                yield from _rows(batch, first, columns, url, config.max_bytes)


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


def image_bytes(column: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """The encoded images, and their paths where the column is a Hugging Face struct of both."""
    if not pa.types.is_struct(column.type):
        return column, None
    names = [f.name for f in column.type]
    parts = dict(zip(names, column.flatten(), strict=True))
    return parts["bytes"], parts.get("path")


def _rows(batch: pa.RecordBatch, first: int, columns: Columns, url: str, max_bytes: int) -> Iterator[Found | Refused]:
    images, paths = image_bytes(batch.column(columns.image))
    captions, labels, keys = (
        batch.column(n).to_pylist() if n else [None] * len(images)
        for n in (columns.caption, columns.label, columns.key)
    )
    for i, image in enumerate(images):
        key = (text(paths[i].as_py()) if paths is not None else None) or text(keys[i]) or str(first + i)
        if not image.is_valid:
            yield Refused(uri=url, key=key, reason="no_bytes", error=f"row {first + i} holds no image")
            continue
        size = image.as_buffer().size
        if size > max_bytes:
            bad = too_many_bytes(size, max_bytes)
            yield Refused(uri=url, key=key, reason=bad.reason, error=bad.message)
            continue
        yield Found(
            uri=url,
            key=key,
            offset=first + i,
            data=image.as_py(),
            caption=text(captions[i]),
            label=columns.label_text(labels[i]),
        )
