"""What the curation report shows: plain data that a caller gathers from a run's artifacts.

Nothing here reads storage. Texts may be hostile or long and images broken or huge: the page cleans, clips and
shrinks them. Counts may come as NumPy arrays of any length: the page reduces them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from siglino_core.statistics.interval import Interval

Counts = Sequence[int] | np.ndarray


@dataclass(frozen=True, kw_only=True)
class Drop:
    """One step of the funnel: images that left for one reason."""

    reason: str  # rejected, exact_duplicate, near_duplicate, over_quota, or any other word
    count: int
    parts: Mapping[str, int] = field(default_factory=dict)  # the same count by finer reason, e.g. the rejects'


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """From the pool to what was kept; the drops in the order in which they happen."""

    pool: int  # everything that was seen, rejects included
    drops: tuple[Drop, ...]
    kept: int  # pool less the drops: the page points out a difference


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A column of the balance table."""

    key: str  # under which BalanceRow.values holds it
    title: str  # "effective labels": also what the headline calls it
    doc: str = ""  # a sentence under the table
    share: bool = False  # values are fractions, shown in percent
    better: Literal["higher", "lower", ""] = "higher"  # "": a description, never judged


@dataclass(frozen=True, kw_only=True)
class BalanceRow:
    """One way to choose ``Balance.sample_size`` images, measured; a metric may be missing."""

    name: str  # "random", "duplicates removed, then random", "ours"
    role: Literal["baseline", "ours"]  # exactly one row is ours; a comparison needs at least one baseline
    values: Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Ours against its baselines. The first metric decides the headline; the first row is the "before"."""

    sample_size: int
    metrics: tuple[Metric, ...]
    rows: tuple[BalanceRow, ...]  # in reading order: random, duplicates removed then random, ours
    varies: str  # what differs between repeats: "the draw; clusters are those of the run's seed"


@dataclass(frozen=True, kw_only=True)
class Learning:
    """What a probe learns from the sample, beside one that learns from as many random images: shares of 1."""

    curated: Mapping[str, Interval]  # by metric: probe, and probe_rare of the rarer half of the labels
    random: Mapping[str, Interval]
    difference: Mapping[str, Interval]  # paired over the splits
    splits: int
    train: int  # images
    test: int
    labels: int  # that are tested


@dataclass(frozen=True, kw_only=True)
class LabelCounts:
    """Images a label, aligned over names; labels that nothing was kept of count 0."""

    names: Sequence[str]
    pool: Counts  # before: usable images
    kept: Counts


@dataclass(frozen=True, kw_only=True)
class LevelSizes:
    """Images under every centroid of a level, aligned; empty clusters count 0."""

    level: int  # 1 = finest
    pool: Counts
    kept: Counts


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image of the pool and its fate."""

    image_id: str
    reason: str  # kept, near_duplicate, over_quota, ...
    caption: str = ""
    label: str = ""
    source_key: str = ""
    note: str = ""  # shown under a dropped image: "of 3fa9c2, cosine 0.97"
    data: bytes | None = field(default=None, repr=False)  # as encoded in the pool; None or broken: a placeholder


@dataclass(frozen=True, kw_only=True)
class MapPoint:
    x: float  # any scale: the page fits what it gets
    y: float
    picture: Picture  # of those with data, up to 600 get a thumbnail on hover


@dataclass(frozen=True, kw_only=True)
class MapView:
    """Images of the pool in two dimensions."""

    points: tuple[MapPoint, ...]  # at most 20,000 are shown
    method: str  # "first two principal components of the centred embeddings (18% of the variance)"
    drawn_from: int  # how many images the points were drawn from


@dataclass(frozen=True, kw_only=True)
class ClusterGrid:
    """A cluster's kept images beside its dropped ones."""

    title: str  # "level 1, cluster 217"
    why: str  # why it is shown: "the largest", "the most near duplicates", "drawn at random"
    pool_size: int
    kept_size: int
    kept: tuple[Picture, ...]  # some of them, at most 50 of each are shown
    dropped: tuple[Picture, ...]


@dataclass(frozen=True, kw_only=True)
class Reject:
    """A row of a rejects table."""

    source_uri: str
    source_key: str
    reason: str
    error: str
    images: int = 1


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """A finished stage, as its manifest has it."""

    name: str
    state: str  # Computed, Resumed or Reused
    rows: int
    seconds: float  # work summed over shards
    shards: int
    fingerprint: str
    digest: str
    url: str
    wall_seconds: float | None = None  # by the clock, this time; None if unknown


@dataclass(frozen=True, kw_only=True)
class Query:
    """A DuckDB line to copy."""

    title: str
    sql: str


@dataclass(frozen=True, kw_only=True)
class CurationReport:
    """Everything on the page."""

    run_name: str
    run_url: str
    experiment: str
    date: str  # as it is to be read: "2026-03-14 09:26 UTC"
    seed: int
    funnel: Funnel
    levels: tuple[LevelSizes, ...]  # finest first
    balance: Balance | None = None
    labels: LabelCounts | None = None  # None: the pool has none, and the page says so
    learning: Learning | None = None  # None: not measured, or not to be measured
    map: MapView | None = None
    grids: tuple[ClusterGrid, ...] = ()  # at most 50
    reject_counts: Mapping[str, int] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()  # examples, at most 40 are shown
    stages: tuple[StageRecord, ...] = ()
    command: str = ""  # that last asked for this run; what it does not say is in ``config_yaml``
    config_yaml: str = ""
    software: Mapping[str, str] = field(default_factory=dict)  # name: version
    queries: tuple[Query, ...] = ()  # none: one over sample/part-*.parquet
