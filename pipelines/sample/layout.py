"""How the sample's work is cut: groups of shards on one side, buckets of clusters on the other.

Near-duplicates and quotas need a cluster's images together; artifacts need a shard's rows together. The way between is
an exchange through storage: each group writes one file with a row group a bucket, each bucket reads its row group of
every file, and the same backwards. Groups x buckets requests, about a million at two billion images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.support.work import Work
from siglino_core.store import Manifest, Shard, Stage

CELL = 8192  # images: a cell of about this many is compared pair by pair for near-duplicates
BUCKET = 512 << 20  # bytes of embeddings that one unit of work holds


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The cut, a pure function of the inputs' manifests."""

    shards: list[str]  # source shards, in order
    group_size: int
    buckets: int
    levels: int
    cell_level: int  # near-duplicates are looked for inside this level's clusters

    @staticmethod
    def of(shards: Sequence[str], cluster: Manifest, dim: int) -> "Layout":
        """The cut for some source shards, clusters and a width of embeddings."""
        sizes = cluster.facts["levels"]
        fitting = [level for level, k in enumerate(sizes, start=1) if cluster.rows / k <= CELL]
        level = max(fitting, default=1)
        return Layout(
            shards=list(shards),
            group_size=min(512, max(1, len(shards) // 1024)),
            buckets=min(sizes[level - 1], max(1, -(-cluster.rows * dim * 2 // BUCKET))),
            levels=len(sizes),
            cell_level=level,
        )

    def groups(self) -> list[list[str]]:
        return [self.shards[i : i + self.group_size] for i in range(0, len(self.shards), self.group_size)]

    def units(self, *, coverage: bool) -> list[Shard]:
        """Every unit of work, in the order of its phases; ``coverage`` says whether clusters are put in order."""
        groups, buckets = range(len(self.groups())), range(self.buckets)
        return [
            *({"name": f"exchange-{g:05d}", "kind": "exchange", "group": g} for g in groups),
            *({"name": f"bucket-{b:05d}", "kind": "bucket", "bucket": b} for b in buckets),
            *({"name": f"coverage-{b:05d}", "kind": "coverage", "bucket": b} for b in buckets if coverage),
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


def bucket_of_cell(cluster: Stage, layout: Layout) -> np.ndarray:
    """The bucket of every cell: int32, contiguous ranges of about equal numbers of images."""
    with cluster.files.parquet(f"centroids_{layout.cell_level}/part-00000.parquet") as file:
        size = file.read(columns=["size"])["size"].to_numpy()
    before = np.cumsum(size) - size
    return np.minimum(before * layout.buckets // max(1, int(size.sum())), layout.buckets - 1).astype(np.int32)
