"""What a run's training saw: its kept images, shard by shard.

Legend: N images of a shard, D channels of the embedding.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from siglino_core.curation.clustering.points import prepare
from siglino_core.evaluation.data.overlap import Seen
from siglino_core.store import Run, of_kind
from siglino_core.store.vectors import from_column

AHEAD = 16  # shards that are read side by side from a store far away
T = TypeVar("T")


def kept_blocks(run: Run, shards: Sequence[str] | None = None) -> Iterator[Seen]:
    """The kept images of a run with their vectors, a shard at a time, as its near-duplicates were looked for.

    Args:
        shards: of :func:`shards_of`, those that are wanted; None: all.

    Raises:
        StoreError: a stage is not finished.
    """
    center = run.stage("cluster").require().facts["center"]

    def kept(shard: str) -> Seen:
        wanted_N = read_columns(run, "sample", shard, ["kept"])["kept"].to_numpy()
        return _vectors(run, shard, wanted_N, center)

    yield from (block for _, block in in_turn(run, shards_of(run) if shards is None else shards, kept))


def kept_ids(run: Run, shards: Sequence[str] | None = None) -> Iterator[Seen]:
    """The same without vectors, from the sample alone."""

    def kept(shard: str) -> Seen:
        table = read_columns(run, "sample", shard, ["image_id", "kept"])
        return Seen(image_ids=table.filter(table["kept"])["image_id"].to_pylist())

    yield from (block for _, block in in_turn(run, shards_of(run) if shards is None else shards, kept))


def shards_of(run: Run) -> list[str]:
    """The source shards that hold images, in order."""
    return [s["name"] for s in of_kind(run.stage("source").shards(), "part")]


def read_columns(run: Run, stage: str, shard: str, columns: list[str]) -> pa.Table:
    """Some columns of a stage's shard."""
    with run.stage(stage).files.parquet(f"{shard}.parquet") as file:
        return file.read(columns=columns)


def in_turn(run: Run, shards: Sequence[str], read: Callable[[str], T]) -> Iterator[tuple[str, T]]:
    """What a function reads of each shard, in order; from a store far away side by side, a few ahead."""
    if run.stage("sample").files.local is not None:
        yield from ((shard, read(shard)) for shard in shards)
        return
    with ThreadPoolExecutor(AHEAD) as pool:
        waiting: deque[Any] = deque()
        for shard in shards:
            waiting.append((shard, pool.submit(read, shard)))
            if len(waiting) > AHEAD:
                first, found = waiting.popleft()
                yield first, found.result()
        yield from ((first, found.result()) for first, found in waiting)


def _vectors(run: Run, shard: str, wanted_N: np.ndarray, center: list[float] | None) -> Seen:
    """The embedded images of a shard among those that are wanted, at unit length."""
    table = read_columns(run, "embed", shard, ["image_id", "row", "embedding"])
    table = table.filter(pa.array(wanted_N[table["row"].to_numpy()]))
    points = prepare(from_column(table["embedding"]), None if center is None else np.array(center))
    return Seen(image_ids=table["image_id"].to_pylist(), vectors=points)
