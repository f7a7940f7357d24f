"""Whether the sample teaches better than a random one, where the pool has labels; in bounded memory and time."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.sample.layout import SampleWork
from siglino_core.evaluation.samples.learning import Images, compare
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.store.vectors import from_column

LOOKED_AT = 256  # shards, and
IMAGES = 500_000  # images whose labels are read at most
NO_LABELS, ONE_LABEL = "the pool has no labels", "all labels are one"
TOO_FEW = "fewer than two labels have four images"


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A shard's embedded images: their rows in the shard's table of embeddings are their order."""

    shard: str
    ids: list[str]
    labels: list[str | None]
    kept: np.ndarray


def what_it_teaches(work: SampleWork) -> dict[str, Any]:
    """What `siglino_core.evaluation.samples.learning.compare` says of the sample, or ``why`` there is nothing to say.

    Shards are looked at in a keyed order, so that of a huge pool some stand for all.
    """
    seed = work.config.seed
    parts = _parts(work)
    names = sorted({label for part in parts for label in part.labels if label})
    if len(names) < 2:
        return {"why": ONE_LABEL if names else NO_LABELS}
    number = {name: i for i, name in enumerate(names)}
    images = Images(
        label_N=np.array([number.get(label or "", -1) for part in parts for label in part.labels]),
        ids_N=id_bits([i for part in parts for i in part.ids]),
        kept_N=np.concatenate([part.kept for part in parts]),
    )
    needed = images.needed(seed)
    found = compare(images.take(needed), _features(work, parts, needed), seed)
    return {"why": TOO_FEW} if found is None else found


def _parts(work: SampleWork) -> list[_Part]:
    shards = work.layout.shards
    order = np.argsort(uniform(key_of(work.config.seed, "learning"), np.arange(len(shards), dtype=np.uint64)))
    parts: list[_Part] = []
    for index in order[:LOOKED_AT]:
        if sum(len(part.ids) for part in parts) >= IMAGES:
            break
        parts.append(_part(work, shards[index]))
    return parts


def _part(work: SampleWork, shard: str) -> _Part:
    run = work.run
    with run.stage("embed").files.parquet(f"{shard}.parquet") as file:
        embed = file.read(columns=["image_id", "row"])
    rows = embed["row"]
    with run.stage("source").files.parquet(f"{shard}.parquet") as file:
        labels = file.read(columns=["label"])["label"].take(rows)
    with work.stage.files.parquet(f"{shard}.parquet") as file:
        kept = file.read(columns=["kept"])["kept"].take(rows)
    return _Part(
        shard=shard,
        ids=embed["image_id"].to_pylist(),
        labels=labels.to_pylist(),
        kept=kept.to_numpy(),
    )


def _features(work: SampleWork, parts: list[_Part], needed: np.ndarray) -> np.ndarray:
    """The embeddings of some of the parts' images, one shard in memory at a time."""
    found: list[np.ndarray] = []
    start = 0
    for part in parts:
        stop = start + len(part.ids)
        here = needed[np.searchsorted(needed, start) : np.searchsorted(needed, stop)] - start
        if len(here):
            with work.run.stage("embed").files.parquet(f"{part.shard}.parquet") as file:
                column = file.read(columns=["embedding"])["embedding"]
            found.append(from_column(column.take(pa.array(here))).astype(np.float32))
        start = stop
    return np.concatenate(found)
