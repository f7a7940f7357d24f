"""From an image of a run back to its bytes and to where it came from."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core.pools.fetch import fetch
from siglino_core.store import Stage

BATCH = 256  # rows whose bytes are in memory at once


def image_rows(source: Stage, shard: str, rows: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row, source row with its bytes) of some rows of a source shard, in order; memory holds a batch of them.

    Args:
        source: the source stage, finished.
        rows: int, sorted.

    Raises:
        DataError, StoreError: the pool that a pointer leads to has changed or gone.
    """
    if not len(rows):
        return
    column = source.require().identity["config"].get("image_column", "")
    start = 0
    with source.files.parquet(f"{shard}.parquet") as file:
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)]
            if len(here):
                yield from _from_group(file, group, here, start, column)
            start = stop


def _from_group(
    file: pq.ParquetFile, group: int, rows: np.ndarray, start: int, column: str
) -> Iterator[tuple[int, dict[str, Any]]]:
    for batch in file.iter_batches(BATCH, [group]):
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + batch.num_rows)]
        if len(here):
            wanted = batch.take(pa.array(here - start))
            images = wanted.drop_columns(["bytes"]).to_pylist()
            for row, image, data in zip(here, images, fetch(wanted, column), strict=True):
                yield int(row), {**image, "bytes": data}
        start += batch.num_rows
