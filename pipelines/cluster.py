"""cluster: a hierarchy of centroids over the embeddings, and every image's place in it.

Points stay on the workers; centroids travel. Each step of each level is committed, so that a killed run goes on from
its last one. Level 1 clusters embeddings, level L+1 the centroids of level L.
"""

import io
import json
import math
import time
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipelines.support import price
from pipelines.support.points import gather
from pipelines.support.runtime import Estimate, Progress, Result, map_shards, silent
from siglino_core import schema
from siglino_core.config import Config, shaping
from siglino_core.curation.clustering.assign import nearest
from siglino_core.curation.clustering.kmeans import Recipe, State, steps
from siglino_core.curation.clustering.points import mean_of, prepare
from siglino_core.device import choose, single_thread
from siglino_core.errors import DataError
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.store import Files, Identity, Run, Shard, Stage
from siglino_core.store.vectors import from_column, to_column

VERSION = 1
SLICE = 65_536  # centroids a block, when they are the points of the next level
SCRATCH = "state"


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Fit every level, then give every image its centroids."""
    embed, stage = run.stage("embed"), run.stage("cluster")
    manifest = embed.require()
    if manifest.rows < config.cluster.num_clusters[0]:
        raise DataError(
            f"cluster.num_clusters={config.cluster.num_clusters} asks for more level-1 centroids than there are "
            f"embeddings ({manifest.rows})."
        )
    identity = Identity(
        stage="cluster",
        version=VERSION,
        config={**shaping(config.cluster), "seed": config.seed},
        inputs={"embed": manifest.digest},
    )
    blocks = [s["name"] for s in embed.shards()]
    todo = stage.begin(identity, lambda: [*({"name": n} for n in blocks), {"name": "centroids"}], redo=redo)
    if todo.manifest is not None:
        stage.sweep(SCRATCH)
        return Result(state=todo.state, manifest=todo.manifest)
    if stage.files.sizes(SCRATCH):
        todo = replace(todo, state="Resumed")

    began = time.monotonic()
    center = _center(config, run, blocks, stage, identity.fingerprint)
    levels: list[State] = []
    for level, k in enumerate(config.cluster.num_clusters, start=1):
        below = levels[-1] if levels else None
        levels.append(_fit_level(config, run, stage, identity.fingerprint, level, k, progress, blocks, center, below))
    parents = [_parents(levels[i], levels[i + 1]) for i in range(len(levels) - 1)]
    fitted = time.monotonic() - began

    missing = [s for s in todo.missing if s["name"] != "centroids"]
    done = len(blocks) - len(missing)
    work = partial(
        _assign_shard, run, identity.fingerprint, config.runtime.device, center, _state_name(1, levels[0]), parents
    )
    for record in map_shards(work, missing, config.runtime, on_gpu=True):
        done += 1
        progress("cluster", done, len(blocks), f"assigned {record['shard']}")
    facts = _commit_centroids(stage, identity.fingerprint, blocks, levels, parents, fitted)
    facts |= {
        "levels": config.cluster.num_clusters,
        "steps": {f"level_{i}": state.log for i, state in enumerate(levels, start=1)},
        "center": None if center is None else [float(v) for v in center],
    }
    finished = stage.finish(identity, todo, facts=facts)
    stage.sweep(SCRATCH)
    return Result(state=todo.state, manifest=finished)


def plan(config: Config, rows: int, dim: int) -> Estimate:
    """What clustering costs: the matrix products of every pass over the points, exactly assigned."""
    c = config.cluster
    points, flops = rows * c.fit_fraction, 0.0
    for level, k in enumerate(c.num_clusters, start=1):
        n = points if level == 1 else c.num_clusters[level - 2]
        passes = 1 + c.iterations + c.resampling * (2 + c.resampling_iterations)
        flops += 2.0 * n * k * dim * passes
    flops += 2.0 * rows * c.num_clusters[0] * dim
    gpu = flops > price.LARGE_CLUSTERING or choose(config.runtime.device).device == "cuda"
    device, hours = price.device_hours(flops, price.CLUSTER, gpu=gpu)
    return Estimate(
        stage="cluster",
        shards=-(-rows // config.source.rows_per_shard) + 1,
        rows=rows,
        bytes=rows * (price.ASSIGNED_ROW + price.A_LEVEL * len(c.num_clusters))
        + sum(c.num_clusters) * (4 * dim + price.CENTROID_ROW),
        device=device,
        device_hours=hours,
        note="exact assignment: 2 x points x centroids x width a pass",
    )


def _center(config: Config, run: Run, blocks: list[str], stage: Stage, fingerprint: str) -> np.ndarray | None:
    """The mean embedding of the fitted images, fp64 [D], or None; committed once."""
    if not config.cluster.center:
        return None
    name = f"{SCRATCH}/center.parquet"
    if name not in stage.files.sizes(SCRATCH):
        work = partial(_sum_shard, run, config.cluster.fit_fraction, config.seed)
        sums = [
            (np.array(r["sum"]), r["count"]) for r in map_shards(work, [{"name": b} for b in blocks], config.runtime)
        ]
        table = pa.table({"center": mean_of(sums)})
        stage.files.put(name, _parquet_bytes(table.replace_schema_metadata({"fingerprint": fingerprint})))
    return pq.read_table(io.BytesIO(stage.files.read(name)))["center"].to_numpy()


def _sum_shard(run: Run, fraction: float, seed: int, shard: Shard) -> dict[str, Any]:
    """The exact sum of a shard's fitted embeddings, and their number."""
    points, _ = _load_embeddings(run, [shard["name"]], None, fraction, seed, 0)
    return {"sum": points.sum(0, dtype=np.float64).tolist(), "count": len(points)}


def _load_embeddings(
    run: Run, blocks: list[str], center: np.ndarray | None, fraction: float, seed: int, index: int
) -> tuple[np.ndarray, np.ndarray]:
    """The fitted points of one embed shard, ready to cluster, and their ids."""
    with run.stage("embed").files.parquet(f"{blocks[index]}.parquet") as file:
        table = file.read(columns=["image_id", "embedding"])
    ids, points = id_bits(table["image_id"].to_pylist()), from_column(table["embedding"])
    if fraction < 1:
        chosen = uniform(key_of(seed, "fit"), ids) < fraction
        ids, points = ids[chosen], points[chosen]
    return prepare(points, center), ids


def _load_centroids(stage: Stage, name: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """One slice of a level's centroids, as points of the next level, and their row numbers."""
    with stage.files.parquet(name) as file:
        points = from_column(file.read_row_group(index, columns=["centroid"])["centroid"])
    return points.astype(np.float16), np.arange(index * SLICE, index * SLICE + len(points), dtype=np.uint64)


def _fit_level(
    config: Config,
    run: Run,
    stage: Stage,
    fingerprint: str,
    level: int,
    k: int,
    progress: Progress,
    blocks: list[str],
    center: np.ndarray | None,
    below: State | None,
) -> State:
    """Cluster one level, from its last committed step on."""
    c = config.cluster
    state = _read_state(stage, fingerprint, level)
    if state is not None and state.done:
        return state
    recipe = Recipe(
        level=level,
        k=k,
        seeding=c.seeding,
        iterations=c.iterations,
        resampling=c.resampling,
        resampling_iterations=c.resampling_iterations,
        seed=config.seed,
    )
    if below is None:
        load = partial(_load_embeddings, run, blocks, center, c.fit_fraction, config.seed)
        points = gather(load, len(blocks), config.runtime)
    else:
        assert below.centroids is not None
        load = partial(_load_centroids, stage, _state_name(level - 1, below))
        points = gather(load, -(-len(below.centroids) // SLICE), config.runtime)
    try:
        for step in steps(points, recipe, state):
            _write_state(stage, fingerprint, level, step)
            progress("cluster", 0, len(blocks), f"level {level}: {_where(recipe, step)}")
            state = step
    finally:
        points.close()
    assert state is not None
    return state


def _where(recipe: Recipe, state: State) -> str:
    rounds = len(recipe.rounds())
    if state.done:
        return f"{recipe.k} centroids"
    if state.step <= rounds:
        return f"seeding round {state.step} of {rounds}"
    return f"iteration {state.step - rounds}, inertia {state.log[-1]['inertia']:.4f}"


def _state_name(level: int, state: State) -> str:
    return f"{SCRATCH}/level_{level}/{state.phase:03d}-{state.step:05d}{'-done' if state.done else ''}.parquet"


def _write_state(stage: Stage, fingerprint: str, level: int, state: State) -> None:
    """Commit a step, then drop the steps before it, except the last of the phase before (its anchor)."""
    assert state.centroids is not None
    log = {"fingerprint": fingerprint, "log": json.dumps(state.log)}
    table = pa.table({"centroid": to_column(state.centroids)}).replace_schema_metadata(log)
    name = _state_name(level, state)
    stage.files.put(name, _parquet_bytes(table))
    before = [n for n in _state_names(stage, level) if n != name]
    anchors = [n for n in before if _phase(n) == state.phase - 1]
    stage.files.delete(set(before) - set(anchors[-1:]))


def _read_state(stage: Stage, fingerprint: str, level: int) -> State | None:
    """The last committed step of a level, or None."""
    names = _state_names(stage, level)
    if not names:
        return None
    table = pq.read_table(io.BytesIO(stage.files.read(names[-1])))
    meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    if meta.get("fingerprint") != fingerprint:
        stage.files.delete(names)
        return None
    step = names[-1].rpartition("/")[2].removesuffix(".parquet").split("-")
    anchors = [n for n in names if _phase(n) == int(step[0]) - 1]
    anchor = pq.read_table(io.BytesIO(stage.files.read(anchors[-1]))) if anchors else None
    return State(
        phase=int(step[0]),
        step=int(step[1]),
        centroids=_stored_centroids(table),
        anchor=None if anchor is None else _stored_centroids(anchor),
        log=json.loads(meta["log"]),
        done="done" in step,
    )


def _stored_centroids(table: pa.Table) -> np.ndarray:
    """A step's centroids as an array of our own: torch warns of Arrow's, which cannot be written to."""
    return from_column(table["centroid"]).copy()


def _state_names(stage: Stage, level: int) -> list[str]:
    names = stage.files.sizes(f"{SCRATCH}/level_{level}")
    return sorted(names, key=lambda n: n.removesuffix(".parquet"))  # a step, and then the same step done


def _phase(name: str) -> int:
    return int(name.rpartition("/")[2].partition("-")[0])


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=SLICE)
    return sink.getvalue()


def _parents(below: State, above: State) -> np.ndarray:
    """The centroid of the level above for each of the level below: int32 [K]."""
    assert below.centroids is not None
    assert above.centroids is not None
    points = below.centroids.astype(np.float16)
    upper = torch.tensor(above.centroids)
    return np.concatenate([nearest(points[i : i + SLICE], upper)[0] for i in range(0, len(points), SLICE)])


@lru_cache(maxsize=1)
def _centroids_once(url: str, name: str, fingerprint: str) -> np.ndarray:
    """A finished level's centroids: a worker assigns many shards to the same ones and reads them once."""
    assert fingerprint, "part of the key: another config has other centroids under the same name"
    return _stored_centroids(pq.read_table(io.BytesIO(Files(url).read(name))))


def _assign_shard(
    run: Run,
    fingerprint: str,
    device: str,
    center: np.ndarray | None,
    centroids_name: str,
    parents: list[np.ndarray],
    shard: Shard,
) -> dict[str, Any]:
    """Give every image of an embed shard its centroids; commits the shard."""
    single_thread()
    stage, name = run.stage("cluster"), shard["name"]
    writer = stage.writer(name, fingerprint)
    with run.stage("embed").files.parquet(f"{name}.parquet") as file:
        table = file.read()
    centroids = _centroids_once(stage.files.url, centroids_name, fingerprint)
    points = prepare(from_column(table["embedding"]), center)
    ids, d2 = nearest(points, torch.tensor(centroids).to(choose(device).device))
    columns: dict[str, Any] = {"image_id": table["image_id"], "row": table["row"], "level_1": ids}
    for level, parent in enumerate(parents, start=2):
        ids = parent[ids]
        columns[f"level_{level}"] = ids
    columns["distance"] = np.sqrt(d2)
    with writer as out:
        out.write(f"assignments/{name}.parquet", pa.table(columns), schema.assignments(len(parents) + 1))
        return out.commit(rows=table.num_rows, facts={"squared_distance": float(d2.sum(dtype=np.float64))})


def _commit_centroids(
    stage: Stage,
    fingerprint: str,
    blocks: list[str],
    levels: list[State],
    parents: list[np.ndarray],
    fitted: float,
) -> dict[str, Any]:
    """Count every level's images and commit the centroid tables; returns what the manifest says of them.

    ``fitted``: seconds that the levels took in this invocation, by the clock.
    """
    writer = stage.writer("centroids", fingerprint, worked=fitted)
    sizes = [np.zeros(len(_centroids(levels[0])), np.int64)]
    for name in blocks:
        with stage.files.parquet(f"assignments/{name}.parquet") as file:
            sizes[0] += np.bincount(file.read(columns=["level_1"])["level_1"].to_numpy(), minlength=len(sizes[0]))
    for parent, state in zip(parents, levels[1:], strict=True):
        sizes.append(np.bincount(parent, sizes[-1], minlength=len(_centroids(state))).astype(np.int64))
    with writer as out:
        for i, state in enumerate(levels):
            parent = pa.array(parents[i]) if i < len(parents) else pa.nulls(len(sizes[i]), pa.int32())
            vectors = _centroids(state)
            table = pa.table(
                {
                    "centroid_id": np.arange(len(vectors), dtype=np.int32),
                    "parent_id": parent,
                    "size": sizes[i],
                    "centroid": to_column(vectors),
                }
            )
            name = f"centroids_{i + 1}/part-00000.parquet"
            out.write(name, table, schema.centroids(vectors.shape[1]), row_group_size=SLICE)
        out.commit(rows=0)
    commits = stage.commits()
    total = math.fsum(commits[name]["facts"]["squared_distance"] for name in blocks)
    return {
        "inertia": total / max(1, int(sizes[0].sum())),
        "empty": [int((s == 0).sum()) for s in sizes],
        "largest": [int(s.max()) for s in sizes],
    }


def _centroids(state: State) -> np.ndarray:
    assert state.centroids is not None
    return state.centroids
