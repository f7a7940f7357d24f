"""sample: near-duplicates out, exact quotas top-down, and the kept images as training shards.

Phases, each of committed units: exchange (by shard) -> bucket (near-duplicates, by cluster) -> coverage (the order in
which a cluster is thinned) -> quotas -> pick (by cluster) -> part (by shard). See `layout` for how the work is cut.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.sample.cells import SEEDS, coverage, exchange, near_duplicates, pick, stays
from pipelines.sample.layout import Layout
from pipelines.sample.write import write_group
from pipelines.support import price
from pipelines.support.runtime import Estimate, Progress, Result, map_shards, silent
from pipelines.support.summary import summarise
from siglino_core import schema
from siglino_core.config import Config, Pick, Quota, shaping
from siglino_core.curation.sampling.quotas import kth_largest, quotas, radius_quotas
from siglino_core.errors import ConfigError
from siglino_core.report.cards import dataset_card
from siglino_core.statistics.diversity import compare
from siglino_core.store import Identity, Run, Shard, Stage, Todo

VERSION = 2
SCRATCH = ("exchange", "decisions", "coverage", "picks")


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
    layout = Layout.of(run.stage("source").shards(), cluster, embed.facts["dim"])
    todo = stage.begin(identity, lambda: layout.units(coverage=config.sample.pick is Pick.COVERAGE), redo=redo)
    if todo.manifest is not None:
        stage.sweep(*SCRATCH)
        return Result(state=todo.state, manifest=todo.manifest)
    final = [u for u in todo.shards if u["name"] == "clusters" or u["name"].startswith("part-")]
    if any(u in final for u in todo.missing):
        _phases(config, run, stage, identity.fingerprint, layout, todo, progress, cluster.facts["center"])
    facts = _facts(config, stage, layout, todo.shards)
    card = dataset_card(summarise(config, run, facts), config)
    stage.files.put("images/README.md", card.encode())  # tells paths and times, so it is no part of the digest
    manifest = stage.finish(identity, todo, shards=final, facts=facts)
    stage.sweep(*SCRATCH)
    return Result(state=todo.state, manifest=manifest)


def plan(config: Config, rows: int, dim: int, bytes_per_image: float) -> Estimate:
    """What sampling costs: two passes of embeddings through storage, pairs inside cells, and the kept images' bytes."""
    fitting = [k for k in config.cluster.num_clusters if rows / k <= 8192] or config.cluster.num_clusters[:1]
    flops = 2.0 * rows * (rows / fitting[-1]) * dim
    seconds = flops / price.PAIRS + rows * price.SAMPLED_IMAGE + config.sample.target_size * price.KEPT_IMAGE
    return Estimate(
        stage="sample",
        shards=-(-rows // config.source.rows_per_shard),
        rows=rows,
        bytes=int(rows * price.SAMPLED_ROW + config.sample.target_size * bytes_per_image),
        device=price.CPU_CORE,
        device_hours=seconds / 3600,
        note=f"{rows * (2 * dim + price.EXCHANGED_ROW) / 1e9:.1f} GB of scratch",
    )


def _phases(
    config: Config,
    run: Run,
    stage: Stage,
    fingerprint: str,
    layout: Layout,
    todo: Todo,
    progress: Progress,
    center: list[float] | None,
) -> None:
    middle = None if center is None else np.array(center)
    done = len(todo.shards) - len(todo.missing)

    def phase(prefix: str, work: Callable[[Shard], dict[str, Any]], note: str) -> None:
        nonlocal done
        for _ in map_shards(work, [u for u in todo.missing if u["name"].startswith(prefix)], config.runtime):
            done += 1
            progress("sample", done, len(todo.shards), note)

    phase("exchange-", partial(exchange, run, fingerprint, layout), "bringing clusters together")
    phase("bucket-", partial(near_duplicates, run, fingerprint, layout, config, middle), "near-duplicates")
    limit = _outlier_limit(config, stage, layout)
    if config.sample.pick is Pick.COVERAGE:
        phase("coverage-", partial(coverage, run, fingerprint, layout, config, middle, limit), "spreading")
    if any(u["name"] in ("quotas", "clusters") for u in todo.missing):
        _commit_quotas(config, run, stage, fingerprint, layout, limit)
    phase("pick-", partial(pick, run, fingerprint, layout, config, limit), "filling quotas")
    phase("part-", partial(write_group, run, fingerprint, layout, config), "writing shards")


def _buckets(stage: Stage, layout: Layout, folder: str, columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of every bucket's file, one bucket in memory at a time."""
    for bucket in range(layout.buckets):
        with stage.files.parquet(f"{folder}/bucket-{bucket:05d}.parquet") as file:
            yield file.read(columns=columns)


def _outlier_limit(config: Config, stage: Stage, layout: Layout) -> float:
    """The knn_distance above which an image is an outlier: ``sample.trim`` of the candidates are lonelier."""
    if config.sample.trim == 0:
        return float("inf")

    def lonely() -> Iterator[np.ndarray]:
        for table in _buckets(stage, layout, "decisions", ["duplicate_of", "knn_distance"]):
            yield table["knn_distance"].to_numpy()[table["duplicate_of"].is_null().to_numpy()]

    candidates = sum(len(values) for values in lonely())
    return kth_largest(lonely, int(candidates * config.sample.trim) + 1)


def _commit_quotas(config: Config, run: Run, stage: Stage, fingerprint: str, layout: Layout, limit: float) -> None:
    """How many images of each cluster are kept, for the sample and for its other draws."""
    tables: list[pa.Table] = []
    for level in range(1, layout.levels + 1):
        with run.stage("cluster").files.parquet(f"centroids_{level}/part-00000.parquet") as file:
            tables.append(file.read(columns=["parent_id", "size"]))
    size = tables[0]["size"].to_numpy()
    parents = [t["parent_id"].to_numpy().astype(np.int64) for t in tables[:-1]]
    candidates = np.zeros(len(size), np.int64)
    for table in _buckets(stage, layout, "decisions", ["level_1", "duplicate_of", "knn_distance"]):
        candidates += np.bincount(table["level_1"].to_numpy()[stays(table, limit)], minlength=len(size))
    target, available = config.sample.target_size, int(candidates.sum())
    if target > available:
        raise ConfigError(
            f"sample.target_size={target}: only {available} images are left when duplicates, outliers and rejects are "
            f"gone. Ask for at most {available}, raise sample.near_duplicate={config.sample.near_duplicate}, "
            f"or lower sample.trim={config.sample.trim}."
        )
    draws = [_quotas(config, stage, layout, limit, candidates, parents, i) for i in range(SEEDS)]
    columns: dict[str, Any] = {"level_1": np.arange(len(size), dtype=np.int32)}
    for level, parent in enumerate(parents, start=2):
        columns[f"level_{level}"] = parent.astype(np.int32)[columns[f"level_{level - 1}"]]
    columns |= {"size": size, "candidates": candidates, "kept": draws[0]}
    drawn = pa.table({f"quota_{i}": d for i, d in enumerate(draws)})
    with stage.writer("quotas", fingerprint) as out:
        out.write("exchange/quotas.parquet", drawn, drawn.schema)
        out.commit(rows=0)
    with stage.writer("clusters", fingerprint) as out:
        out.write("clusters/part-00000.parquet", pa.table(columns), schema.clusters(layout.levels))
        out.commit(rows=0)


def _quotas(
    config: Config,
    stage: Stage,
    layout: Layout,
    limit: float,
    candidates: np.ndarray,
    parents: list[np.ndarray],
    draw: int,
) -> np.ndarray:
    """The quotas of one draw: int64 [K1]."""
    s = config.sample
    if s.quota is Quota.HIERARCHICAL:
        seed = config.seed + draw
        return quotas(candidates, parents, s.target_size, power=s.quota_power, min_support=s.min_support, seed=seed)

    def joining() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        decided = _buckets(stage, layout, "decisions", ["level_1", "duplicate_of", "knn_distance"])
        for table, cover_distance in zip(
            decided, _buckets(stage, layout, "coverage", [f"cover_distance_{draw}"]), strict=True
        ):
            free = stays(table, limit)
            yield table["level_1"].to_numpy()[free], cover_distance[0].to_numpy()[free]

    return radius_quotas(joining, len(candidates), s.target_size)[0]


def _facts(config: Config, stage: Stage, layout: Layout, units: list[Shard]) -> dict[str, Any]:
    """Counts by reason, and how balanced the sample is beside random ones of the same size."""
    records = stage.records([u["name"] for u in units])
    reasons: dict[str, int] = {}
    pool: dict[str, int] = {}
    drawn: dict[str, list[int]] = {}
    for name, record in records.items():
        facts = record["facts"]
        for reason, count in facts.get("reasons", {}).items():
            reasons[reason] = reasons.get(reason, 0) + count
        for label, count in facts.get("labels", {}).items():
            if name.startswith("exchange-"):
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
