"""Work by cluster: bring a cell's images together, drop near-duplicates, and pick within quotas."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.sample.layout import SampleWork, bucket_of_cell
from siglino_core.config import Pick
from siglino_core.curation.clustering.points import prepare
from siglino_core.curation.dedup.near import representatives
from siglino_core.curation.sampling.coverage import farthest_first, knn_distance
from siglino_core.curation.sampling.quotas import choose
from siglino_core.device import single_thread
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.store import Shard, Stage
from siglino_core.store.vectors import from_column

SEEDS = 5  # draws over which balance is measured; the first is the sample
MANY_LABELS = 100_000  # more are no classes but captions, and are not counted


def exchange(work: SampleWork, unit: Shard) -> dict[str, Any]:
    """Write a group's images with one row group a bucket; counts the pool's labels on the way."""
    writer = work.writer(unit["name"])
    bucket_C = bucket_of_cell(work.run.stage("cluster"), work.layout)
    tables: list[pa.Table] = []
    labels: dict[str, int] = {}
    for shard in work.layout.groups()[unit["group"]]:
        table, counts = _joined(work, shard)
        tables.append(table)
        for label, count in counts.items():
            labels[label] = labels.get(label, 0) + count
    joined = pa.concat_tables(tables)
    buckets = bucket_C[joined["cell"].to_numpy()]
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
    wanted = list(dict.fromkeys(["level_1", f"level_{layout.cell_level}", "distance"]))
    places = read("cluster", f"assignments/{shard}.parquet", wanted)
    counts = source["label"].combine_chunks().value_counts()
    labels = {v["values"] or "": v["counts"] for v in counts.to_pylist()}
    seen = source.take(embed["row"])
    n = embed.num_rows
    columns = {
        "cell": places[f"level_{layout.cell_level}"],
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

    Of those that stay, measure how far each is from its neighbours in its level-1 cluster.
    """
    single_thread()
    sample = work.config.sample
    writer = work.writer(unit["name"])
    table, points = _cells(work, unit["bucket"])
    cell_N = table["cell"].to_numpy()
    stands = np.arange(table.num_rows)
    if sample.near_duplicate < 1:
        for rows in _runs(cell_N):
            stands[rows] = rows[0] + representatives(points[rows], sample.near_duplicate)
    copy = stands != np.arange(table.num_rows)
    distance_N = np.zeros(table.num_rows, np.float32)
    if sample.trim > 0:
        for rows in _members(table["level_1"].to_numpy(), ~copy):
            distance_N[rows] = knn_distance(points[rows])
    ids = table["image_id"].combine_chunks()
    decided = (
        table.select(["shard", "row", "image_id", "level_1", "label", "distance"])
        .append_column("duplicate_of", ids.take(pa.array(stands, mask=~copy)))
        .append_column("knn_distance", pa.array(distance_N))
    )
    with writer as out:
        out.write(f"decisions/{unit['name']}.parquet", decided, decided.schema)
        return out.commit(rows=0, facts={"candidates": int((~copy).sum())})


def coverage(work: SampleWork, limit: float, unit: Shard) -> dict[str, Any]:
    """In which order each cluster is thinned: one column of cover distances a draw; outliers are left out."""
    single_thread()
    name = f"bucket-{unit['bucket']:05d}"
    writer = work.writer(unit["name"])
    table, points = _cells(work, unit["bucket"])
    with work.stage.files.parquet(f"decisions/{name}.parquet") as file:
        candidate = stays(file.read(columns=["duplicate_of", "knn_distance"]), limit)
    bits = id_bits(table["image_id"].to_pylist())
    columns: dict[str, np.ndarray] = {}
    for i in range(SEEDS):
        cover_distance = columns[f"cover_distance_{i}"] = np.zeros(table.num_rows, np.float32)
        start_key = uniform(key_of(work.config.seed + i, "spread"), bits)
        for rows in _members(table["level_1"].to_numpy(), candidate):
            cover_distance[rows] = farthest_first(points[rows], int(start_key[rows].argmin()))
    with writer as out:
        out.write(f"coverage/{name}.parquet", pa.table(columns), pa.table(columns).schema)
        return out.commit(rows=0)


def stays(decided: pa.Table, limit: float) -> np.ndarray:
    """Which images may be kept: neither near-duplicates nor outliers."""
    return decided["duplicate_of"].is_null().to_numpy() & (decided["knn_distance"].to_numpy() <= limit)


def pick(work: SampleWork, limit: float, unit: Shard) -> dict[str, Any]:
    """Fill every cluster's quota; writes one row group a group of shards, and counts the labels of every draw."""
    config, stage, name = work.config, work.stage, f"bucket-{unit['bucket']:05d}"
    writer = work.writer(unit["name"])
    with stage.files.parquet(f"decisions/{name}.parquet") as file:
        table = file.read()
    if config.sample.pick is Pick.COVERAGE:
        with stage.files.parquet(f"coverage/{name}.parquet") as file:
            for column, values in zip(file.schema_arrow.names, file.read().columns, strict=True):
                table = table.append_column(column, values)
    table = table.sort_by([("shard", "ascending"), ("row", "ascending")])
    with stage.files.parquet("exchange/quotas.parquet") as file:
        quotas = file.read()
    candidate = stays(table, limit)
    units, ids = table["level_1"].to_numpy()[candidate], id_bits(table["image_id"].to_pylist())[candidate]
    draws: list[np.ndarray] = []
    for i in range(SEEDS):
        if config.sample.pick is Pick.COVERAGE:
            key = -table[f"cover_distance_{i}"].to_numpy()[candidate]
        elif config.sample.pick is Pick.CLOSEST:
            key = table["distance"].to_numpy()[candidate]
        else:
            key = uniform(key_of(config.seed + i, "pick"), ids)
        kept = np.zeros(len(candidate), bool)
        kept[candidate] = choose(units, key, quotas[f"quota_{i}"].to_numpy())
        draws.append(kept)
    copy = table["duplicate_of"].is_valid().to_numpy()
    why = np.select([draws[0], copy, ~candidate], ["kept", "near_duplicate", "outlier"], "over_quota")
    result = table.select(["shard", "row", "duplicate_of"]).append_column("kept", pa.array(draws[0]))
    result = result.append_column("reason", pa.array(why))
    group_N = table["shard"].to_numpy() // work.layout.group_size
    with writer as out:
        with out.parquet(f"picks/{unit['name']}.parquet", result.schema) as file:
            for rows in _runs(group_N):
                file.write_table(result.take(rows), row_group_size=1 << 30)
        facts = {"present": np.unique(group_N).tolist(), "labels": _label_counts(table["label"], ~copy, draws)}
        return out.commit(rows=0, facts=facts)


def _cells(work: SampleWork, bucket: int) -> tuple[pa.Table, np.ndarray]:
    """A bucket's images from every group, cell by cell, the most wanted first, and their unit vectors."""
    table = pa.concat_tables(_row_groups(work.stage, "exchange", len(work.layout.groups()), bucket))
    keys = [("cell", "ascending"), ("pixels", "descending"), ("distance", "ascending"), ("image_id", "ascending")]
    table = table.sort_by(keys)
    points = prepare(from_column(table["embedding"]), work.center).astype(np.float32)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-6)
    return table.drop_columns(["embedding"]), points


def _runs(values_N: np.ndarray) -> list[np.ndarray]:
    """The positions of every run of equal values."""
    cuts = np.flatnonzero(values_N[1:] != values_N[:-1]) + 1
    return np.split(np.arange(len(values_N)), cuts) if len(values_N) else []


def _members(cluster_N: np.ndarray, mask_N: np.ndarray) -> list[np.ndarray]:
    """The positions of every cluster's members among the masked rows."""
    rows = np.flatnonzero(mask_N)
    rows = rows[np.argsort(cluster_N[rows], kind="stable")]
    return [rows[run] for run in _runs(cluster_N[rows])]


def _label_counts(label: pa.ChunkedArray, candidate: np.ndarray, draws: list[np.ndarray]) -> dict[str, list[int]]:
    """Per label: candidates, then what each draw keeps."""
    codes = label.combine_chunks().fill_null("").dictionary_encode()
    names = codes.dictionary.to_pylist()
    if len(names) > MANY_LABELS:
        return {}
    index = codes.indices.to_numpy(zero_copy_only=False)
    counts = [np.bincount(index[mask], minlength=len(names)) for mask in (candidate, *draws)]
    return {name: [int(c[i]) for c in counts] for i, name in enumerate(names)}


def picked(work: SampleWork, group: int) -> pa.Table:
    """What was decided of a group's images, from every bucket."""
    return pa.concat_tables(_row_groups(work.stage, "picks", work.layout.buckets, group, "pick"))


def _row_groups(stage: Stage, folder: str, files: int, wanted: int, unit: str = "exchange") -> Iterator[pa.Table]:
    """The row group that belongs to ``wanted`` of every file that has one; always at least an empty table."""
    names = [f"{unit}-{index:05d}" for index in range(files)]
    for index, (name, record) in enumerate(stage.records(names).items()):
        present = record["facts"]["present"]
        with stage.files.parquet(f"{folder}/{name}.parquet") as file:
            if wanted in present:
                yield file.read_row_group(present.index(wanted))
            elif index == 0:
                yield file.schema_arrow.empty_table()
