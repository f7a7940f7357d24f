"""How many images of each cluster are kept, once all buckets are decided."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.sample.layout import SampleWork
from pipelines.sample.learned import weights_of
from pipelines.sample.order import draws_of, is_ordered, score_columns, scores, weights
from pipelines.sample.read import stays
from siglino_core import schema
from siglino_core.config import Quota
from siglino_core.curation.sampling.quotas import global_quotas, kth_largest, quotas
from siglino_core.errors import ConfigError


class Counted(NamedTuple):
    """Of each level-1 cluster, [K1]: images that may be kept, those that they stand for, what these count (fp64)."""

    candidates: np.ndarray
    images: np.ndarray
    claims: np.ndarray


def buckets(work: SampleWork, folder: str, columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of every bucket's file, one bucket in memory at a time."""
    for bucket in range(work.layout.buckets):
        with work.stage.files.parquet(f"{folder}/bucket-{bucket:05d}.parquet") as file:
            yield file.read(columns=columns)


def outlier_limit(work: SampleWork) -> float:
    """The distance to the second neighbour above which an image is an outlier: a share of the candidates, `trim`."""
    trim = work.config.sample.trim
    if trim == 0:
        return float("inf")

    def distances() -> Iterator[np.ndarray]:
        for table in buckets(work, "decisions", ["duplicate_of", "outlier_distance"]):
            yield table["outlier_distance"].to_numpy()[table["duplicate_of"].is_null().to_numpy()]

    candidates = sum(len(values) for values in distances())
    return kth_largest(distances, int(candidates * trim) + 1)


def commit_quotas(work: SampleWork, limit: float) -> None:
    """How many images of each cluster are kept, for the sample and for its other draws."""
    config, layout = work.config, work.layout
    tables: list[pa.Table] = []
    for level in range(1, layout.levels + 1):
        with work.run.stage("cluster").files.parquet(f"centroids_{level}/part-00000.parquet") as file:
            tables.append(file.read(columns=["parent_id", "size"]))
    size = tables[0]["size"].to_numpy()
    parents = [t["parent_id"].to_numpy().astype(np.int64) for t in tables[:-1]]
    counted = Counted(np.zeros(len(size), np.int64), np.zeros(len(size), np.int64), np.zeros(len(size)))
    for table in buckets(work, "decisions", ["level_1", "copies", "duplicate_of", "outlier_distance"]):
        candidate = stays(table, limit)
        cluster_N = table["level_1"].to_numpy()[candidate]
        np.add.at(counted.candidates, cluster_N, 1)
        np.add.at(counted.images, cluster_N, table["copies"].to_numpy()[candidate])
        np.add.at(counted.claims, cluster_N, weights(table, config.sample)[candidate])
    target, available = config.sample.target_size, int(counted.candidates.sum())
    if target > available:
        raise ConfigError(
            f"sample.target_size={target}: only {available} images are left when duplicates, outliers and rejects are "
            f"gone. Ask for at most {available}, raise sample.near_duplicate={config.sample.near_duplicate}, "
            f"or lower sample.trim={config.sample.trim}."
        )
    draws = [_quotas(work, limit, counted, parents, i) for i in range(draws_of(config.sample))]
    columns: dict[str, Any] = {"level_1": np.arange(len(size), dtype=np.int32)}
    for level, parent in enumerate(parents, start=2):
        columns[f"level_{level}"] = parent.astype(np.int32)[columns[f"level_{level - 1}"]]
    columns |= {"size": size, "candidates": counted.candidates, "kept": draws[0]}
    drawn = pa.table({f"quota_{i}": d for i, d in enumerate(draws)})
    with work.writer("quotas") as out:
        out.write("exchange/quotas.parquet", drawn, drawn.schema)
        out.commit(rows=0)
    with work.writer("clusters") as out:
        out.write("clusters/part-00000.parquet", pa.table(columns), schema.clusters(layout.levels))
        out.commit(rows=0)


def _quotas(
    work: SampleWork,
    limit: float,
    counted: Counted,
    parents: list[np.ndarray],
    draw: int,
) -> np.ndarray:
    """The quotas of one draw: int64 [K1]."""
    candidates, images, claims = counted
    s, learned = work.config.sample, weights_of(work.config.sample, parents)
    how = {"min_support": s.min_support, "seed": work.config.seed + draw, "weights": learned}
    if s.quota is Quota.HIERARCHICAL:
        return quotas(candidates, parents, s.target_size, power=s.quota_power, **how)
    if s.quota is Quota.GROUPED:  # levels above the second decide nothing
        power = s.quota_power if parents else 1.0
        return quotas(candidates, parents[:1], s.target_size, power=power, claims=claims, images=images, **how)

    def scored() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        wanted = ["level_1", "duplicate_of", "outlier_distance", "distance", "image_id"]
        columns = score_columns(s) if is_ordered(s) else []
        orders = _orders(work, columns)
        for table, ordered in zip(buckets(work, "decisions", wanted), orders, strict=True):
            for column in columns:
                table = table.append_column(column, ordered[column])
            candidate = stays(table, limit)
            cluster_N, score_N = table["level_1"].to_numpy()[candidate], scores(work, table, draw)[candidate]
            yield cluster_N, score_N if learned is None else (score_N * learned[cluster_N]).astype(np.float32)

    return global_quotas(scored, len(candidates), s.target_size)[0]


def _orders(work: SampleWork, columns: list[str]) -> Iterator[pa.Table]:
    if columns:
        return buckets(work, "orders", columns)
    return iter([pa.table({})] * work.layout.buckets)
