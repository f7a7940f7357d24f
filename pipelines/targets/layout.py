"""How the work is cut: units of statistics over a few training shards, then a unit a shard."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from siglino_core.config import Stored, TargetsConfig
from siglino_core.distillation.curated.index import training_shards
from siglino_core.distillation.targets.packs import images_in
from siglino_core.hashing import key_of, uniform
from siglino_core.store import Shard, Stage

UNITS = 16  # of statistics, at most
MEASURED = 256  # images that a codec's errors are measured on


def plan_units(sample: Stage, config: TargetsConfig, seed: int) -> list[Shard]:
    """All units: ``stats-KK``, ``statistics``, and ``part-NNNNN`` for each training shard unless keep=online."""
    shards = {PurePosixPath(name).stem: name for name in training_shards(sample, sample.require())}
    chosen = _drawn(sample, list(shards), config.statistics_images, seed)
    units: list[Shard] = [
        {
            "name": f"stats-{k:02d}",
            "kind": "stats",
            "shards": [{"name": n, "images": shards[n], "rows": q} for n, q in part],
        }
        for k in range(UNITS)
        if (part := chosen[k::UNITS])
    ]
    units.append({"name": "statistics", "kind": "statistics"})
    if config.keep is Stored.ONLINE:
        return units
    left = MEASURED if config.keep in (Stored.INT8, Stored.FP8) else 0
    for name, images in shards.items():
        measured = min(left, images_in(sample, name)) if left else 0
        units.append({"name": name, "kind": "part", "images": images, "measured": measured})
        left -= measured
    return units


def _drawn(sample: Stage, shards: list[str], wanted: int, seed: int) -> list[tuple[str, int]]:
    """Shards in keyed order and how many of its images each gives: 16 of them, or as many as it takes."""
    order = np.argsort(uniform(key_of(seed, "statistics", "shards"), np.arange(len(shards))), kind="stable")
    sizes: dict[str, int] = {}
    for i in order:
        if len(sizes) >= UNITS and sum(sizes.values()) >= wanted:
            break
        sizes[shards[i]] = images_in(sample, shards[i])
    return [(n, q) for n, q in zip(sizes, shares(list(sizes.values()), wanted), strict=True) if q]


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """``total`` dealt out as equally as the sizes allow; all of them if they hold less."""
    quotas = [0] * len(sizes)
    for rank, i in enumerate(sorted(range(len(sizes)), key=lambda i: sizes[i])):
        quotas[i] = min(sizes[i], total // (len(sizes) - rank))
        total -= quotas[i]
    return quotas
