"""Work by cluster: bring a cell's images together, drop near-duplicates, and pick within quotas."""

from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.sample.layout import SampleWork
from pipelines.sample.order import is_ordered, scores
from pipelines.sample.read import bucket_cells, members, runs, stays
from siglino_core.curation.dedup.cells import CELL, cells
from siglino_core.curation.dedup.near import representatives
from siglino_core.curation.sampling.coverage import outlier_distance
from siglino_core.curation.sampling.quotas import choose
from siglino_core.device import single_thread
from siglino_core.store import Shard
from siglino_core.store.vectors import from_column

MATES = 3  # images that one stands for, itself among them, from which on it has two neighbours as near as copies
MANY_LABELS = 100_000  # more are no classes but captions, and are not counted


def commit_cells(work: SampleWork) -> None:
    """Which clusters are one cell, and which cells one bucket, of about equally many images."""
    cluster = work.run.stage("cluster")

    def read(level: int, column: str) -> pa.ChunkedArray:
        with cluster.files.parquet(f"centroids_{level}/part-00000.parquet") as file:
            return file.read(columns=[column])[column]

    size_K = read(1, "size").to_numpy()
    parents = [read(level, "parent_id").to_numpy() for level in range(1, work.layout.levels)]
    cell_K = cells(size_K, parents, lambda level: from_column(read(level, "centroid")), most=CELL)
    images = np.bincount(cell_K, size_K).astype(np.int64)
    bucket = (np.cumsum(images) - images) * work.layout.buckets // max(1, int(images.sum()))
    table = pa.table({"cell": cell_K, "bucket": np.minimum(bucket, work.layout.buckets - 1).astype(np.int32)[cell_K]})
    with work.writer("cells") as out:
        out.write("exchange/cells.parquet", table, table.schema)
        out.commit(rows=0)


@lru_cache(maxsize=1)
def _cells(work: SampleWork) -> tuple[np.ndarray, np.ndarray]:
    """The cell and the bucket of every cluster of level 1; a worker reads them once."""
    with work.stage.files.parquet("exchange/cells.parquet") as file:
        table = file.read()
    return table["cell"].to_numpy(), table["bucket"].to_numpy()


def exchange(work: SampleWork, unit: Shard) -> dict[str, Any]:
    """Write a group's images with one row group a bucket; counts the pool's labels on the way."""
    writer = work.writer(unit["name"])
    tables: list[pa.Table] = []
    labels: dict[str, int] = {}
    for shard in work.layout.groups()[unit["group"]]:
        table, counts = _joined(work, shard)
        tables.append(table)
        for label, count in counts.items():
            labels[label] = labels.get(label, 0) + count
    joined = pa.concat_tables(tables)
    buckets = joined["bucket"].to_numpy()
    joined = joined.drop_columns(["bucket"])
    with writer as out:
        with out.parquet(f"exchange/{unit['name']}.parquet", joined.schema) as file:
            order = np.argsort(buckets, kind="stable")
            present = np.unique(buckets)
            for rows in np.split(order, np.searchsorted(buckets[order], present)[1:]):
                file.write_table(joined.take(rows), row_group_size=1 << 30)
        counted = labels if len(labels) <= MANY_LABELS else {}
        return out.commit(rows=0, facts={"present": present.tolist(), "labels": counted})


def _joined(work: SampleWork, shard: str) -> tuple[pa.Table, dict[str, int]]:
    """The images of a source shard with their embeddings and clusters; how many the pool has of each label."""
    layout = work.layout

    def read(stage: str, name: str, columns: list[str]) -> pa.Table:
        with work.run.stage(stage).files.parquet(name) as file:
            return file.read(columns=columns)

    source = read("source", f"{shard}.parquet", ["width", "height", "label"])
    embed = read("embed", f"{shard}.parquet", ["image_id", "row", "embedding"])
    places = read("cluster", f"assignments/{shard}.parquet", ["level_1", "distance"])
    cluster_N, (cell_K, bucket_K) = places["level_1"].to_numpy(), _cells(work)
    counts = source["label"].combine_chunks().value_counts()
    labels = {v["values"] or "": v["counts"] for v in counts.to_pylist()}
    seen = source.take(embed["row"])
    n = embed.num_rows
    columns = {
        "cell": cell_K[cluster_N],
        "bucket": bucket_K[cluster_N],
        "level_1": places["level_1"],
        "shard": pa.array(np.full(n, layout.shards.index(shard), np.int32)),
        "row": embed["row"],
        "image_id": embed["image_id"],
        "pixels": seen["width"].to_numpy().astype(np.int64) * seen["height"].to_numpy(),
        "distance": places["distance"],
        "label": seen["label"],
        "embedding": embed["embedding"],
    }
    return pa.table(columns), labels


def near_duplicates(work: SampleWork, unit: Shard) -> dict[str, Any]:
    """Decide, cell by cell, which image stands for which; the larger and then the more central one stays.

    Of those that stay, count for how many images each stands, itself among them, and measure how far it is from its
    neighbours in its cell.
    """
    single_thread()
    sample = work.config.sample
    writer = work.writer(unit["name"])
    table, points = bucket_cells(work, unit["bucket"])
    cell_N = table["cell"].to_numpy()
    stands = np.arange(table.num_rows)
    if sample.near_duplicate < 1:
        for rows in runs(cell_N):
            stands[rows] = rows[0] + representatives(points[rows], sample.near_duplicate)
    copy = stands != np.arange(table.num_rows)
    copies_N = np.bincount(stands, minlength=len(stands)).astype(np.int32)
    distance_N = np.zeros(table.num_rows, np.float32)
    if sample.trim > 0:
        for rows in members(cell_N, ~copy):
            distance_N[rows] = outlier_distance(points[rows])
        distance_N[copies_N >= MATES] = 0
    ids = table["image_id"].combine_chunks()
    decided = (
        table.select(["shard", "row", "image_id", "level_1", "label", "distance"])
        .append_column("duplicate_of", ids.take(pa.array(stands, mask=~copy)))
        .append_column("copies", pa.array(copies_N))
        .append_column("outlier_distance", pa.array(distance_N))
    )
    with writer as out:
        out.write(f"decisions/{unit['name']}.parquet", decided, decided.schema)
        return out.commit(rows=0, facts={"candidates": int((~copy).sum())})


def pick(work: SampleWork, limit: float, unit: Shard) -> dict[str, Any]:
    """Fill every cluster's quota; writes one row group a group of shards, and counts the labels of every draw."""
    config, stage, name = work.config, work.stage, f"bucket-{unit['bucket']:05d}"
    writer = work.writer(unit["name"])
    with stage.files.parquet(f"decisions/{name}.parquet") as file:
        table = file.read()
    if is_ordered(config.sample):
        with stage.files.parquet(f"orders/{name}.parquet") as file:
            for column, values in zip(file.schema_arrow.names, file.read().columns, strict=True):
                table = table.append_column(column, values)
    table = table.sort_by([("shard", "ascending"), ("row", "ascending")])
    with stage.files.parquet("exchange/quotas.parquet") as file:
        quotas = file.read()
    candidate = stays(table, limit)
    units = table["level_1"].to_numpy()[candidate]
    draws: list[np.ndarray] = []
    for i in range(quotas.num_columns):
        kept = np.zeros(len(candidate), bool)
        kept[candidate] = choose(units, -scores(work, table, i)[candidate], quotas[f"quota_{i}"].to_numpy())
        draws.append(kept)
    copy = table["duplicate_of"].is_valid().to_numpy()
    why = np.select([draws[0], copy, ~candidate], ["kept", "near_duplicate", "outlier"], "over_quota")
    result = table.select(["shard", "row", "duplicate_of"]).append_column("kept", pa.array(draws[0]))
    result = result.append_column("reason", pa.array(why))
    group_N = table["shard"].to_numpy() // work.layout.group_size
    with writer as out:
        with out.parquet(f"picks/{unit['name']}.parquet", result.schema) as file:
            for rows in runs(group_N):
                file.write_table(result.take(rows), row_group_size=1 << 30)
        facts = {"present": np.unique(group_N).tolist(), "labels": _label_counts(table["label"], ~copy, draws)}
        return out.commit(rows=0, facts=facts)


def _label_counts(label: pa.ChunkedArray, candidate: np.ndarray, draws: list[np.ndarray]) -> dict[str, list[int]]:
    """Per label: candidates, then what each draw keeps."""
    codes = label.combine_chunks().fill_null("").dictionary_encode()
    names = codes.dictionary.to_pylist()
    if len(names) > MANY_LABELS:
        return {}
    index = codes.indices.to_numpy(zero_copy_only=False)
    counts = [np.bincount(index[mask], minlength=len(names)) for mask in (candidate, *draws)]
    return {name: [int(c[i]) for c in counts] for i, name in enumerate(names)}
