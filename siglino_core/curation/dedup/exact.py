"""Exact duplicates: images whose encoded bytes are the same, found from their ids alone.

The id space is cut into partitions, so that each fits in memory, whatever the size of the pool.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siglino_core import schema
from siglino_core.errors import DataError
from siglino_core.store import Files, Stage
from siglino_core.store.files import reported

PREFIX = "duplicates-"  # of the names of the source stage's shards that hold duplicates instead of images
READERS = 8
ID_DIGITS = 32


def file_of(shard: str) -> str:
    """The Parquet file of a duplicates shard."""
    return f"duplicates/part-{shard.removeprefix(PREFIX)}.parquet"


def words(ids: pa.Array | pa.ChunkedArray, what: str) -> np.ndarray:
    """uint64 [N, 2] from N image ids: their 128 bits, in the order of the text.

    Raises:
        DataError: an id does not have 32 hex digits; ``what`` names where it was read.
    """
    array = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    if len(array) == 0:
        return np.zeros((0, 2), np.uint64)
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    try:
        if array.null_count or (np.diff(offsets) != ID_DIGITS).any():
            raise ValueError
        raw = bytes.fromhex(array.buffers()[2][offsets[0] : offsets[-1]].to_pybytes().decode("ascii"))
    except ValueError as e:
        raise DataError(f"{what}: column image_id does not hold ids of {ID_DIGITS} hex digits") from e
    return np.frombuffer(raw, ">u8").astype(np.uint64).reshape(-1, 2)


def in_partition(words_N2: np.ndarray, partition: int, partitions: int) -> np.ndarray:
    """bool [N]: whether each id falls into the partition, by its first 8 hex digits."""
    first = words_N2[:, 0] >> np.uint64(32)
    return (first * np.uint64(partitions)) >> np.uint64(32) == np.uint64(partition)


def copies(words_N2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(copy, kept): int64 positions of every id that stood before, in order, and of where it first stood."""
    order = np.lexsort((words_N2[:, 1], words_N2[:, 0]))  # stable: equal ids keep their order
    ordered = words_N2[order]
    again = np.zeros(len(order), bool)
    again[1:] = (ordered[1:] == ordered[:-1]).all(1)
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))
    copy, kept = order[again], order[first[again]]
    by_place = np.argsort(copy)
    return copy[by_place], kept[by_place]


def find(files: Files, shards: list[str], partition: int, partitions: int) -> pa.Table:
    """The duplicates of one partition, of schema DUPLICATES, sorted by (position in ``shards``, row).

    Memory: about 100 bytes for each id in the partition; only the id columns are read.

    Raises:
        StoreError: a source shard is missing.
    """
    with ThreadPoolExecutor(READERS) as pool:
        parts = list(pool.map(partial(_read, files, partition, partitions), shards))
    words_N2 = np.concatenate([w for w, _ in parts]) if parts else np.zeros((0, 2), np.uint64)
    row_N = np.concatenate([r for _, r in parts]) if parts else np.zeros(0, np.int32)
    shard_N = np.repeat(np.arange(len(shards), dtype=np.int32), [len(r) for _, r in parts])
    del parts
    copy, kept = copies(words_N2)
    names = pa.array(shards, pa.string())
    digits = words_N2[copy].astype(">u8").tobytes().hex()
    return pa.Table.from_arrays(
        [
            pa.array([digits[i : i + ID_DIGITS] for i in range(0, len(digits), ID_DIGITS)], pa.string()),
            names.take(pa.array(shard_N[copy])),
            pa.array(row_N[copy], pa.int32()),
            names.take(pa.array(shard_N[kept])),
            pa.array(row_N[kept], pa.int32()),
        ],
        schema=schema.DUPLICATES,
    )


def _read(files: Files, partition: int, partitions: int, shard: str) -> tuple[np.ndarray, np.ndarray]:
    name = f"{shard}.parquet"
    with files.parquet(name) as file, reported(f"{files.url}/{name}"):
        words_N2 = words(file.read(["image_id"], use_threads=False).column(0), f"{files.url}/{name}")
    rows = np.flatnonzero(in_partition(words_N2, partition, partitions)).astype(np.int32)
    return words_N2[rows], rows


def duplicate_rows(source: Stage, shard: str, partitions: Iterable[str] | None = None) -> np.ndarray:
    """int32 [D]: the rows of a source shard that are copies of an earlier image, sorted.

    Args:
        source: the source stage, finished.
        shard: name of one of its image shards.
        partitions: names of its duplicates shards, if they are known; else they are read from its plan.
    """
    if partitions is None:
        partitions = [s["name"] for s in source.shards("duplicates")]
    rows = []
    for partition in partitions:
        name = file_of(partition)
        with reported(f"{source.files.url}/{name}"), source.files.parquet(name) as file:
            for g in range(file.num_row_groups):
                at = file.schema_arrow.get_field_index("shard")
                stats = file.metadata.row_group(g).column(at).statistics
                if stats is not None and stats.has_min_max and not stats.min <= shard <= stats.max:
                    continue
                table = file.read_row_group(g, ["shard", "row"])
                rows.append(table.filter(pc.field("shard") == shard)["row"].to_numpy())
    return np.sort(np.concatenate(rows)).astype(np.int32) if rows else np.zeros(0, np.int32)
