"""What units of the sample's work read of those before them: a bucket's clusters together, a group's decisions."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipelines.sample.layout import SampleWork
from siglino_core.curation.clustering.points import prepare
from siglino_core.store import Stage
from siglino_core.store.vectors import from_column


def bucket_cells(work: SampleWork, bucket: int) -> tuple[pa.Table, np.ndarray]:
    """A bucket's images from every group, cell by cell, the most wanted first, and their unit vectors."""
    table = pa.concat_tables(row_groups(work.stage, "exchange", len(work.layout.groups()), bucket))
    keys = [("cell", "ascending"), ("pixels", "descending"), ("distance", "ascending"), ("image_id", "ascending")]
    table = table.sort_by(keys)
    points = prepare(from_column(table["embedding"]), work.center).astype(np.float32)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
    return table.drop_columns(["embedding"]), points


def stays(decided: pa.Table, limit: float) -> np.ndarray:
    """Which images may be kept: neither near-duplicates nor outliers."""
    return decided["duplicate_of"].is_null().to_numpy() & (decided["outlier_distance"].to_numpy() <= limit)


def picked(work: SampleWork, group: int) -> pa.Table:
    """What was decided of a group's images, from every bucket."""
    return pa.concat_tables(row_groups(work.stage, "picks", work.layout.buckets, group, "pick"))


def row_groups(stage: Stage, folder: str, files: int, wanted: int, unit: str = "exchange") -> Iterator[pa.Table]:
    """The row group that belongs to ``wanted`` of every file that has one; always at least an empty table."""
    names = [f"{unit}-{index:05d}" for index in range(files)]
    for index, (name, record) in enumerate(stage.records(names).items()):
        present = record["facts"]["present"]
        with stage.files.parquet(f"{folder}/{name}.parquet") as file:
            if wanted in present:
                yield file.read_row_group(present.index(wanted))
            elif index == 0:
                yield file.schema_arrow.empty_table()


def runs(values_N: np.ndarray) -> list[np.ndarray]:
    """The positions of every run of equal values."""
    cuts = np.flatnonzero(values_N[1:] != values_N[:-1]) + 1
    return np.split(np.arange(len(values_N)), cuts) if len(values_N) else []


def members(cluster_N: np.ndarray, mask_N: np.ndarray) -> list[np.ndarray]:
    """The positions of every cluster's members among the masked rows."""
    rows = np.flatnonzero(mask_N)
    rows = rows[np.argsort(cluster_N[rows], kind="stable")]
    return [rows[run] for run in runs(cluster_N[rows])]
