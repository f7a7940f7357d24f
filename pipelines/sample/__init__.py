"""sample: near-duplicates out, exact quotas top-down, and the kept images as training shards.

Phases, each of committed units: cells -> exchange (by shard) -> bucket (near-duplicates, by cluster) -> order (in which
members are taken) -> quotas -> pick (by cluster) -> part (by shard). See `layout` for how the work is cut.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from pipelines.sample.cells import commit_cells, exchange, near_duplicates, pick
from pipelines.sample.fill import commit_quotas, outlier_limit
from pipelines.sample.layout import Layout, SampleWork
from pipelines.sample.learned import input_of
from pipelines.sample.learning import what_it_teaches
from pipelines.sample.order import SEEDS, draws_of, is_ordered, order
from pipelines.sample.warnings import warnings
from pipelines.sample.write import tar_suffix, write_group
from pipelines.support import price
from pipelines.support.inputs import check
from pipelines.support.provenance import left_out, made_by
from pipelines.support.runtime import Estimate, Progress, Result, map_shards, silent
from pipelines.support.summary import summarise
from siglino_core.config import Config, Shards, shaping
from siglino_core.curation.clustering.levels import levels_of
from siglino_core.curation.dedup.cells import CELL
from siglino_core.errors import WARNING, SiglinoError
from siglino_core.report.cards import dataset_card
from siglino_core.statistics.diversity import compare
from siglino_core.store import Identity, Manifest, Run, Shard, Todo, of_kind

VERSION = 8
SCRATCH = ("exchange", "decisions", "orders", "picks")
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
        inputs={
            "source": source.digest,
            "embed": embed.digest,
            "cluster": cluster.digest,
            **input_of(config.sample, run),
        },
    )
    parts = [s["name"] for s in run.stage("source").shards("part")]
    layout = Layout.of(parts, cluster, embed.facts["dim"])
    todo = stage.begin(identity, lambda: layout.units(ordered=is_ordered(config.sample)), redo=redo)
    if todo.manifest is not None:
        stage.sweep(*SCRATCH)
        return Result(state=todo.state, manifest=todo.manifest)
    for name in ("source", "embed", "cluster"):
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
    facts = {**_facts(work, todo.shards), "learning": what_it_teaches(work)}
    for warning in facts["warnings"]:
        progress("sample", len(todo.shards), len(todo.shards), WARNING + warning)
    made = made_by(run, dataclasses.asdict(identity))
    by = {"learned": config.sample.learned, "learned_power": config.sample.learned_power}
    made = dataclasses.replace(made, sample=dataclasses.replace(made.sample, **by))
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
    flops = 2.0 * rows * (2 * min(rows, CELL) + rows / levels_of(config, rows)[0]) * dim
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

    if of_kind(todo.missing, "cells"):
        commit_cells(work)
    phase("exchange", partial(exchange, work), "bringing clusters together")
    phase("bucket", partial(near_duplicates, work), "near-duplicates")
    limit = outlier_limit(work)
    if is_ordered(sample):
        phase("order", partial(order, work, limit), "ordering clusters")
    if of_kind(todo.missing, "quotas", "clusters"):
        commit_quotas(work, limit)
    phase("pick", partial(pick, work, limit), "filling quotas")
    phase("part", partial(write_group, work), "writing shards")


def _facts(work: SampleWork, units: list[Shard]) -> dict[str, Any]:
    """Counts by reason, and how balanced the sample is beside random ones of the same size."""
    config, layout, draws = work.config, work.layout, draws_of(work.config.sample)
    cluster = work.run.stage("cluster").require()
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
                drawn[label] = [a + b for a, b in zip(drawn.get(label, [0] * (1 + draws)), count, strict=True)]
    ours = [{label: counts[1 + i] for label, counts in drawn.items()} for i in range(draws)]
    candidates = {label: counts[0] for label, counts in drawn.items()}
    return {
        "reasons": dict(sorted(reasons.items())),
        "kept": reasons.get("kept", 0),
        "levels": layout.levels,
        "warnings": warnings(config.sample, cluster.facts["levels"][0], reasons, _followed(work.run, cluster)),
        "balance": compare(pool, candidates, ours, config.sample.target_size, SEEDS, config.seed) if pool else {},
        "labels": {label: [pool[label], drawn.get(label, [0, 0])[1]] for label in sorted(pool) if label},
    }


def _followed(run: Run, cluster: Manifest) -> tuple[int, int] | None:
    """Images that are clustered, and that decide the centroids, where nobody said how many clusters there are."""
    try:
        if not left_out(run.about("cluster")):
            return None
    except SiglinoError:  # `siglino verify` says what is wrong with the note
        return None
    return cluster.rows, int(cluster.rows * cluster.identity["config"]["fit_fraction"])
