"""The bytes of images, from the source rows that hold them or point to them."""

import hashlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

import pyarrow as pa

from siglino_core.config import SourceConfig
from siglino_core.errors import DataError
from siglino_core.pools import parquet
from siglino_core.pools.location import Location, damaged, locate
from siglino_core.pools.record import suffix
from siglino_core.pools.tars import SUFFIX
from siglino_core.store.files import reported


def fetch(rows: pa.Table | pa.RecordBatch, image_column: str = "") -> list[bytes]:
    """The encoded images of source rows, in their order: from ``bytes``, or else from where the row points.

    Args:
        rows: columns image_id, source_uri, source_offset, num_bytes, and bytes if it was read.
        image_column: as in the config, for pools that are Parquet files.

    Raises:
        DataError: the pool's file is no longer what it was.
        StoreError: the pool's file has gone or cannot be read.
    """
    held = rows.column("bytes").to_pylist() if "bytes" in rows.schema.names else [None] * rows.num_rows
    missing: dict[str, list[int]] = defaultdict(list)
    for i, uri in enumerate(rows.column("source_uri").to_pylist()):
        if held[i] is None:
            missing[uri].append(i)
    ids = rows.column("image_id").to_pylist() if missing else []
    offsets = rows.column("source_offset").to_pylist() if missing else []
    sizes = rows.column("num_bytes").to_pylist() if missing else []
    for uri, at in missing.items():
        for i, data in zip(at, _read(uri, [(offsets[i], sizes[i]) for i in at], image_column), strict=True):
            if hashlib.sha256(data).hexdigest()[:32] != ids[i]:
                raise DataError(f"{uri} has changed since it was read: image {ids[i]} is no longer at {offsets[i]}.")
            held[i] = data
    return held


def _read(uri: str, spans: list[tuple[int, int]], image_column: str) -> list[bytes]:
    base, _, name = uri.rpartition("/")
    location = locate(base)
    if SUFFIX.search(name):
        with reported(uri), location.open(name) as f:
            return [f.read(size) for offset, size in spans if f.seek(offset) is not None]
    if suffix(name) in ("parquet", "pq"):
        contents = dict(_rows(location, name, sorted({row for row, _ in spans}), image_column))
        return [contents.get(row, b"") for row, _ in spans]
    return [location.read(name, size) for _, size in spans]


def _rows(location: Location, name: str, wanted: list[int], image_column: str) -> Iterator[tuple[int, bytes]]:
    """(row, bytes) of a Parquet file's rows; each row group that holds one is read once."""
    url = location.url(name)
    opened = parquet.opened(location, name, SourceConfig(image_column=image_column))
    with reported(url), damaged(url), opened as (file, columns):
        column = columns.image
        start = 0
        for g in range(file.num_row_groups):
            stop = start + file.metadata.row_group(g).num_rows
            here = wanted[bisect_left(wanted, start) : bisect_left(wanted, stop)]
            start = stop
            if not here:
                continue
            rows = set(here)
            for first, batch in parquet.batches(file, [column], here[0], here[-1] + 1):
                for row in rows.intersection(range(first, first + batch.num_rows)):
                    yield row, parquet.image_of(batch.column(column)[row - first])[0] or b""
