"""How the sample's work is cut: groups of shards on one side, buckets of clusters on the other.

Near-duplicates and quotas need a cluster's images together; artifacts need a shard's rows together. The way between is
an exchange through storage: each group writes one file with a row group a bucket, each bucket reads its row group of
every file, and the same backwards. Groups x buckets requests, about a million at two billion images. A bucket is whole
cells (`siglino_core.curation.dedup.cells`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.support.work import Work
from siglino_core.store import Manifest, Shard

BUCKET = 512 << 20  # bytes of embeddings that one unit of work holds


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The cut, a pure function of the inputs' manifests."""

    shards: list[str]  # source shards, in order
    group_size: int
    buckets: int
    levels: int

    @staticmethod
    def of(shards: Sequence[str], cluster: Manifest, dim: int) -> "Layout":
        """The cut for some source shards, clusters and a width of embeddings."""
        sizes = cluster.facts["levels"]
        return Layout(
            shards=list(shards),
            group_size=min(512, max(1, len(shards) // 1024)),
            buckets=min(sizes[0], max(1, -(-cluster.rows * dim * 2 // BUCKET))),
            levels=len(sizes),
        )

    def groups(self) -> list[list[str]]:
        return [self.shards[i : i + self.group_size] for i in range(0, len(self.shards), self.group_size)]

    def units(self, *, ordered: bool) -> list[Shard]:
        """Every unit of work, in the order of its phases; ``ordered``: members are put in order by their embeddings."""
        groups, buckets = range(len(self.groups())), range(self.buckets)
        return [
            {"name": "cells", "kind": "cells"},
            *({"name": f"exchange-{g:05d}", "kind": "exchange", "group": g} for g in groups),
            *({"name": f"bucket-{b:05d}", "kind": "bucket", "bucket": b} for b in buckets),
            *({"name": f"order-{b:05d}", "kind": "order", "bucket": b} for b in buckets if ordered),
            {"name": "quotas", "kind": "quotas"},
            {"name": "clusters", "kind": "clusters"},
            *({"name": f"pick-{b:05d}", "kind": "pick", "bucket": b} for b in buckets),
            *({"name": names[0], "kind": "part", "group": g} for g, names in enumerate(self.groups())),
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class SampleWork(Work):
    """What every unit of this stage knows.

    Attributes:
        center: fp64 [D], subtracted from every embedding as in clustering; None: nothing is.
    """

    layout: Layout
    center: np.ndarray | None
