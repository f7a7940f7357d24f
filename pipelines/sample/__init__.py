"""sample: near-duplicates out, exact quotas top-down, and the kept images as training shards.

Phases, each of committed units: exchange (by shard) -> bucket (near-duplicates, by cluster) -> coverage (the order in
which a cluster is thinned) -> quotas -> pick (by cluster) -> part (by shard). See `layout` for how the work is cut.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.sample.cells import SEEDS, coverage, exchange, near_duplicates, pick, stays
from pipelines.sample.layout import Layout, SampleWork
from pipelines.sample.write import tar_suffix, write_group
from pipelines.support import price
from pipelines.support.inputs import check
from pipelines.support.provenance import made_by
from pipelines.support.runtime import Estimate, Progress, Result, map_shards, silent
from pipelines.support.summary import summarise
from siglino_core import schema
from siglino_core.config import Config, Pick, Quota, Shards, shaping
from siglino_core.curation.sampling.quotas import kth_largest, quotas, radius_quotas
from siglino_core.errors import ConfigError
from siglino_core.report.cards import dataset_card
from siglino_core.statistics.diversity import compare
from siglino_core.store import Identity, Run, Shard, Todo, of_kind

VERSION = 4
SCRATCH = ("exchange", "decisions", "coverage", "picks")
CARD = "README.md"
ARTIFACT = ("clusters", "part")  # kinds of shards that stay; the others are swept


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Curate: decide for every image of the pool, and write those that stay."""
    source, embed, cluster = (run.stage(name).require() for name in ("source", "embed", "cluster"))
    stage = run.stage("sample")
    identity = Identity(
        stage="sample",
        version=VERSION,
        config={**shaping(config.sample), "seed": config.seed},
        inputs={"source": source.digest, "embed": embed.digest, "cluster": cluster.digest},
    )
    parts = [s["name"] for s in run.stage("source").shards("part")]
    layout = Layout.of(parts, cluster, embed.facts["dim"])
    todo = stage.begin(identity, lambda: layout.units(coverage=config.sample.pick is Pick.COVERAGE), redo=redo)
    if todo.manifest is not None:
        stage.sweep(*SCRATCH)
        return Result(state=todo.state, manifest=todo.manifest)
    for name in identity.inputs:
        check(config.runtime, run.stage(name), lambda name: not name.startswith("rejects/"))
    center = cluster.facts["center"]
    work = SampleWork(
        run=run,
        stage=todo.stage,
        fingerprint=identity.fingerprint,
        config=config,
        layout=layout,
        center=None if center is None else np.array(center),
    )
    if of_kind(todo.missing, *ARTIFACT):
        _phases(work, todo, progress)
    facts = _facts(work, todo.shards)
    made = made_by(run, dataclasses.asdict(identity))
    column = "bytes" if config.sample.shards is Shards.PARQUET else tar_suffix(source.facts.get("formats", {}))
    card = dataset_card(summarise(made, run, todo.stage, facts), made, column=column)
    todo.stage.files.put(CARD, card.encode())
    shards = of_kind(todo.shards, *ARTIFACT)
    manifest = stage.finish(identity, todo, shards=shards, facts=facts, extras={CARD: None})
    stage.sweep(*SCRATCH)
    return Result(state=todo.state, manifest=manifest)


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What sampling costs: two passes of embeddings through storage, pairs inside cells, and the kept images' bytes."""
    rows, dim, image_bytes = upstream["embed"].rows, upstream["embed"].dim, upstream["source"].image_bytes
    fitting = [k for k in config.cluster.num_clusters if rows / k <= 8192] or config.cluster.num_clusters[:1]
    flops = 2.0 * rows * (rows / fitting[-1]) * dim
    seconds = flops / price.PAIRS + rows * price.SAMPLED_IMAGE + config.sample.target_size * price.KEPT_IMAGE
    return Estimate(
        stage="sample",
        shards=-(-rows // config.source.rows_per_shard),
        rows=rows,
        bytes=int(rows * price.SAMPLED_ROW + config.sample.target_size * image_bytes),
        device=price.CPU_CORE,
        device_hours=seconds / 3600,
        note=f"{rows * (2 * dim + price.EXCHANGED_ROW) / 1e9:.1f} GB of scratch",
    )


def _phases(work: SampleWork, todo: Todo, progress: Progress) -> None:
    done, sample = todo.done, work.config.sample

    def phase(kind: str, do: Callable[[Shard], dict[str, Any]], note: str) -> None:
        nonlocal done
        for _ in map_shards(do, of_kind(todo.missing, kind), work.config.runtime):
            done += 1
            progress("sample", done, len(todo.shards), note)

    phase("exchange", partial(exchange, work), "bringing clusters together")
    phase("bucket", partial(near_duplicates, work), "near-duplicates")
    limit = _outlier_limit(work)
    if sample.pick is Pick.COVERAGE:
        phase("coverage", partial(coverage, work, limit), "ordering by coverage")
    if of_kind(todo.missing, "quotas", "clusters"):
        _commit_quotas(work, limit)
    phase("pick", partial(pick, work, limit), "filling quotas")
    phase("part", partial(write_group, work), "writing shards")


def _buckets(work: SampleWork, folder: str, columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of every bucket's file, one bucket in memory at a time."""
    for bucket in range(work.layout.buckets):
        with work.stage.files.parquet(f"{folder}/bucket-{bucket:05d}.parquet") as file:
            yield file.read(columns=columns)


def _outlier_limit(work: SampleWork) -> float:
    """The distance to the second neighbour above which an image is an outlier: a share of the candidates, `trim`."""
    trim = work.config.sample.trim
    if trim == 0:
        return float("inf")

    def distances() -> Iterator[np.ndarray]:
        for table in _buckets(work, "decisions", ["duplicate_of", "knn_distance"]):
            yield table["knn_distance"].to_numpy()[table["duplicate_of"].is_null().to_numpy()]

    candidates = sum(len(values) for values in distances())
    return kth_largest(distances, int(candidates * trim) + 1)


def _commit_quotas(work: SampleWork, limit: float) -> None:
    """How many images of each cluster are kept, for the sample and for its other draws."""
    config, layout = work.config, work.layout
    tables: list[pa.Table] = []
    for level in range(1, layout.levels + 1):
        with work.run.stage("cluster").files.parquet(f"centroids_{level}/part-00000.parquet") as file:
            tables.append(file.read(columns=["parent_id", "size"]))
    size = tables[0]["size"].to_numpy()
    parents = [t["parent_id"].to_numpy().astype(np.int64) for t in tables[:-1]]
    candidates = np.zeros(len(size), np.int64)
    for table in _buckets(work, "decisions", ["level_1", "duplicate_of", "knn_distance"]):
        candidates += np.bincount(table["level_1"].to_numpy()[stays(table, limit)], minlength=len(size))
    target, available = config.sample.target_size, int(candidates.sum())
    if target > available:
        raise ConfigError(
            f"sample.target_size={target}: only {available} images are left when duplicates, outliers and rejects are "
            f"gone. Ask for at most {available}, raise sample.near_duplicate={config.sample.near_duplicate}, "
            f"or lower sample.trim={config.sample.trim}."
        )
    draws = [_quotas(work, limit, candidates, parents, i) for i in range(SEEDS)]
    columns: dict[str, Any] = {"level_1": np.arange(len(size), dtype=np.int32)}
    for level, parent in enumerate(parents, start=2):
        columns[f"level_{level}"] = parent.astype(np.int32)[columns[f"level_{level - 1}"]]
    columns |= {"size": size, "candidates": candidates, "kept": draws[0]}
    drawn = pa.table({f"quota_{i}": d for i, d in enumerate(draws)})
    with work.writer("quotas") as out:
        out.write("exchange/quotas.parquet", drawn, drawn.schema)
        out.commit(rows=0)
    with work.writer("clusters") as out:
        out.write("clusters/part-00000.parquet", pa.table(columns), schema.clusters(layout.levels))
        out.commit(rows=0)


def _quotas(work: SampleWork, limit: float, candidates: np.ndarray, parents: list[np.ndarray], draw: int) -> np.ndarray:
    """The quotas of one draw: int64 [K1]."""
    s = work.config.sample
    if s.quota is Quota.HIERARCHICAL:
        seed = work.config.seed + draw
        return quotas(candidates, parents, s.target_size, power=s.quota_power, min_support=s.min_support, seed=seed)

    def cover_distances() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        decisions = _buckets(work, "decisions", ["level_1", "duplicate_of", "knn_distance"])
        orders = _buckets(work, "coverage", [f"cover_distance_{draw}"])
        for table, order in zip(decisions, orders, strict=True):
            candidate = stays(table, limit)
            yield table["level_1"].to_numpy()[candidate], order[0].to_numpy()[candidate]

    return radius_quotas(cover_distances, len(candidates), s.target_size)[0]


def _facts(work: SampleWork, units: list[Shard]) -> dict[str, Any]:
    """Counts by reason, and how balanced the sample is beside random ones of the same size."""
    config, layout = work.config, work.layout
    records = work.stage.records([u["name"] for u in units])
    exchanges = {u["name"] for u in of_kind(units, "exchange")}
    reasons: dict[str, int] = {}
    pool: dict[str, int] = {}
    drawn: dict[str, list[int]] = {}
    for name, record in records.items():
        facts = record["facts"]
        for reason, count in facts.get("reasons", {}).items():
            reasons[reason] = reasons.get(reason, 0) + count
        for label, count in facts.get("labels", {}).items():
            if name in exchanges:
                pool[label] = pool.get(label, 0) + count
            else:
                drawn[label] = [a + b for a, b in zip(drawn.get(label, [0] * (SEEDS + 1)), count, strict=True)]
    ours = [{label: counts[1 + i] for label, counts in drawn.items()} for i in range(SEEDS)]
    candidates = {label: counts[0] for label, counts in drawn.items()}
    return {
        "reasons": dict(sorted(reasons.items())),
        "kept": reasons.get("kept", 0),
        "levels": layout.levels,
        "cell_level": layout.cell_level,
        "balance": compare(pool, candidates, ours, config.sample.target_size, config.seed) if pool else {},
        "labels": {label: [pool[label], drawn.get(label, [0, 0])[1]] for label in sorted(pool) if label},
    }
