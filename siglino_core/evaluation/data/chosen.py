"""Which images of a run are a data set's: a draw from all of its shards, and of that what is like no kept image.

Legend: N images of a shard, D channels of the embedding.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core.curation.clustering.points import prepare
from siglino_core.evaluation.data.draw import Draw
from siglino_core.evaluation.data.kept import in_turn, kept_blocks, read_columns, shards_of
from siglino_core.evaluation.data.overlap import closest, unit
from siglino_core.hashing import id_bits, key_of
from siglino_core.store import Run
from siglino_core.store.vectors import from_column

CANDIDATES = 65536  # embeddings in memory at once that are compared with the kept ones
OUT = ("kept", "near_duplicate", "exact_duplicate", "rejected")  # the sample's reasons that keep an image from testing
LIKE_KEPT, NOT_DRAWN, OTHER_FORMAT = "like_a_kept_image", "not_drawn", "another_format"


class Part(StrEnum):
    HELD_OUT = "held_out"  # what training did not see, nor anything like it
    KEPT = "kept"  # the curated set


@lru_cache(maxsize=8)  # the same images are asked for more than once in an evaluation
def chosen(
    url: str, digest: str, part: Part, near_duplicate: float, most: int, seed: int, formats: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """The rows that belong to a part by shard, of the shards that have some; and how many do not, by why."""
    run = Run(url)
    passed: Counter[str] = Counter()
    draw = Draw(most=most, key=key_of(seed, "images of a run", part.value))
    shards = shards_of(run)
    for i, (_, (reasons, ids, kinds)) in enumerate(in_turn(run, shards, lambda s: _told(run, s, formats))):
        out = reasons != "kept" if part is Part.KEPT else np.isin(reasons, OUT)
        passed.update(reasons[out].tolist())
        if kinds is not None:
            other = ~out & ~np.isin(kinds, formats)
            passed[OTHER_FORMAT] += int(other.sum())
            out |= other
        rows = np.flatnonzero(~out)
        draw.add(id_bits(ids.take(pa.array(rows)).to_pylist()), i, rows)
    drawn = {shards[i]: rows for i, rows in draw.rows().items()}
    passed[NOT_DRAWN] = draw.seen - sum(map(len, drawn.values()))
    if part is Part.HELD_OUT and near_duplicate < 1:
        for shard, like in _like_kept(run, near_duplicate, drawn).items():
            passed[LIKE_KEPT] += len(like)
            drawn[shard] = np.setdiff1d(drawn[shard], like)
    return {shard: rows for shard, rows in drawn.items() if len(rows)}, +passed


def _told(run: Run, shard: str, formats: Sequence[str]) -> tuple[np.ndarray, Any, np.ndarray | None]:
    """Of a shard's images the sample's reasons, the ids, and the encodings where some are wanted alone."""
    table = read_columns(run, "sample", shard, ["reason", "image_id"])
    kinds = np.array(read_columns(run, "source", shard, ["format"])["format"].to_pylist(), object) if formats else None
    return np.array(table["reason"].to_pylist(), object), table["image_id"], kinds


def _like_kept(run: Run, near_duplicate: float, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows of every shard that are as like to a kept image as near-duplicates are.

    Memory holds the candidates of a few shards and one shard of kept ones; the kept ones are read once for every
    :data:`CANDIDATES` of the others.
    """
    center = run.stage("cluster").require().facts["center"]
    like: dict[str, np.ndarray] = {}
    group: list[tuple[str, np.ndarray, np.ndarray]] = []
    for shard, table in in_turn(run, list(rows), lambda s: read_columns(run, "embed", s, ["row", "embedding"])):
        of_shard = rows[shard]
        table = table.filter(pa.array(np.isin(table["row"].to_numpy(), of_shard)))
        if table.num_rows:
            points = prepare(from_column(table["embedding"]), None if center is None else np.array(center))
            group.append((shard, table["row"].to_numpy(), unit(points, f"embed/{shard}")))
        if sum(len(r) for _, r, _ in group) >= CANDIDATES:
            like |= _compared(run, near_duplicate, group)
            group = []
    return like | (_compared(run, near_duplicate, group) if group else {})


def _compared(
    run: Run, near_duplicate: float, group: list[tuple[str, np.ndarray, np.ndarray]]
) -> dict[str, np.ndarray]:
    queries_ND = np.concatenate([points for _, _, points in group])
    best_N = np.full(len(queries_ND), -np.inf, np.float32)
    for block in kept_blocks(run):
        if block.vectors is not None and len(block.vectors):
            best_N = np.maximum(best_N, closest(queries_ND, unit(block.vectors, "kept embeddings"))[0])
    found: dict[str, np.ndarray] = {}
    start = 0
    for shard, of_shard, _ in group:
        found[shard] = of_shard[best_N[start : start + len(of_shard)] >= near_duplicate]
        start += len(of_shard)
    return found
