"""cluster: a hierarchy of centroids over the embeddings, and every image's place in it.

Points stay on the workers; centroids travel. Each step of each level is committed, so that a killed run goes on from
its last one. Level 1 clusters embeddings, level L+1 the centroids of level L.
"""

import hashlib
import io
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipelines.support import price
from pipelines.support.inputs import check
from pipelines.support.points import gather
from pipelines.support.runtime import Estimate, Progress, Result, map_shards, silent
from pipelines.support.work import Work
from siglino_core import schema
from siglino_core.config import Config, shaping
from siglino_core.curation.clustering.assign import nearest
from siglino_core.curation.clustering.kmeans import Recipe, State, steps
from siglino_core.curation.clustering.levels import levels_of
from siglino_core.curation.clustering.points import mean_of, prepare
from siglino_core.device import choose, single_thread
from siglino_core.errors import DamagedError, DataError
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.store import Files, Identity, Run, Shard, Stage, Todo, of_kind
from siglino_core.store.vectors import from_column, to_column

VERSION = 1
SLICE = 65_536  # centroids a block, when they are the points of the next level
SCRATCH = "state"
SUM = b"sum"  # of a file of scratch, in its metadata


@dataclass(frozen=True, kw_only=True, eq=False)
class ClusterWork(Work):
    """What every unit of this stage knows.

    Attributes:
        blocks: names of the shards of embeddings, in order.
        center: fp64 [D], subtracted from every embedding; None: nothing is.
    """

    blocks: list[str]
    center: np.ndarray | None = None


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Fit every level, then give every image its centroids."""
    embed, stage = run.stage("embed"), run.stage("cluster")
    manifest = embed.require()
    config = replace(config, cluster=replace(config.cluster, num_clusters=levels_of(config, manifest.rows)))
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
    units = [*({"name": n, "kind": "assign"} for n in blocks), {"name": "centroids", "kind": "centroids"}]
    todo = stage.begin(identity, lambda: units, redo=redo)
    if todo.manifest is not None:
        stage.sweep(SCRATCH)
        return Result(state=todo.state, manifest=todo.manifest)
    check(config.runtime, embed, lambda name: not name.startswith("rejects/"))
    if todo.stage.files.sizes(SCRATCH):
        todo = replace(todo, state="Resumed")

    began = time.monotonic()
    work = ClusterWork(run=run, stage=todo.stage, fingerprint=identity.fingerprint, config=config, blocks=blocks)
    work = replace(work, center=_center(work))
    levels = _committed_levels(work, todo)
    for level in range(len(levels) + 1, len(config.cluster.num_clusters) + 1):
        levels.append(_fit_level(work, level, levels[-1] if levels else None, progress))
    parents = [_parents(levels[i], levels[i + 1]) for i in range(len(levels) - 1)]
    fitted = time.monotonic() - began

    missing = of_kind(todo.missing, "assign")
    done = len(blocks) - len(missing)
    assign = partial(_assign_shard, work, _state_name(1, levels[0]), parents)
    for record in map_shards(assign, missing, config.runtime, on_gpu=True):
        done += 1
        progress("cluster", done, len(blocks), f"assigned {record['shard']}")
    facts = _commit_centroids(work, levels, parents, fitted)
    facts |= {
        "levels": config.cluster.num_clusters,
        "steps": {f"level_{i}": state.log for i, state in enumerate(levels, start=1)},
        "center": None if work.center is None else [float(v) for v in work.center],
    }
    finished = stage.finish(identity, todo, facts=facts)
    stage.sweep(SCRATCH)
    return Result(state=todo.state, manifest=finished)


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What clustering costs: the matrix products of every pass over the points, exactly assigned."""
    rows, dim = upstream["embed"].rows, upstream["embed"].dim
    c = replace(config.cluster, num_clusters=levels_of(config, rows))
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
        memory=c.num_clusters[0] * dim * price.CENTROID_MEMORY,
    )


def _committed_levels(work: ClusterWork, todo: Todo) -> list[State]:
    """Every level as a finished stage holds it, if it lost other files alone; the steps are written down as done."""
    if todo.before is None or any(shard["kind"] == "centroids" for shard in todo.missing):
        return []
    levels: list[State] = []
    for level in range(1, len(work.config.cluster.num_clusters) + 1):
        with work.stage.files.parquet(f"centroids_{level}/part-00000.parquet") as file:
            centroids = from_column(file.read(columns=["centroid"])["centroid"]).copy()
        state = State(centroids=centroids, log=todo.before.facts["steps"][f"level_{level}"], done=True)
        _write_state(work, level, state)
        levels.append(state)
    return levels


def _center(work: ClusterWork) -> np.ndarray | None:
    """The mean embedding of the fitted images, fp64 [D], or None; committed once."""
    if not work.config.cluster.center:
        return None
    name, files = f"{SCRATCH}/center.parquet", work.stage.files
    if name not in files.sizes(SCRATCH):
        blocks = [{"name": b} for b in work.blocks]
        records = map_shards(partial(_sum_shard, work), blocks, work.config.runtime)
        table = pa.table({"center": mean_of([(np.array(r["sum"]), r["count"]) for r in records])})
        files.put(name, _scratch_bytes(table.replace_schema_metadata({"fingerprint": work.fingerprint})))
    return _read_scratch(files, name)["center"].to_numpy()


def _sum_shard(work: ClusterWork, shard: Shard) -> dict[str, Any]:
    """The exact sum of a shard's fitted embeddings, and their number."""
    points, _ = _load_embeddings(work, work.blocks.index(shard["name"]))
    return {"sum": points.sum(0, dtype=np.float64).tolist(), "count": len(points)}


def _load_embeddings(work: ClusterWork, block: int) -> tuple[np.ndarray, np.ndarray]:
    """The fitted points of one embed shard, ready to cluster, and their ids."""
    fraction = work.config.cluster.fit_fraction
    with work.run.stage("embed").files.parquet(f"{work.blocks[block]}.parquet") as file:
        table = file.read(columns=["image_id", "embedding"])
    ids, points = id_bits(table["image_id"].to_pylist()), from_column(table["embedding"])
    if fraction < 1:
        chosen = uniform(key_of(work.config.seed, "fit"), ids) < fraction
        ids, points = ids[chosen], points[chosen]
    return prepare(points, work.center), ids


def _load_centroids(stage: Stage, name: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """One slice of a level's centroids, as points of the next level, and their row numbers."""
    with stage.files.parquet(name) as file:
        points = from_column(file.read_row_group(index, columns=["centroid"])["centroid"])
    return points.astype(np.float16), np.arange(index * SLICE, index * SLICE + len(points), dtype=np.uint64)


def _fit_level(work: ClusterWork, level: int, below: State | None, progress: Progress) -> State:
    """Cluster one level, from its last committed step on.

    Args:
        below: the level beneath, whose centroids are the points; None: the embeddings are.
    """
    c, runtime = work.config.cluster, work.config.runtime
    state = _read_state(work, level)
    if state is not None and state.done:
        return state
    recipe = Recipe(
        level=level,
        k=c.num_clusters[level - 1],
        seeding=c.seeding,
        iterations=c.iterations,
        resampling=c.resampling,
        resampling_iterations=c.resampling_iterations,
        seed=work.config.seed,
    )
    if below is None:
        points = gather(partial(_load_embeddings, work), len(work.blocks), runtime)
    else:
        load = partial(_load_centroids, work.stage, _state_name(level - 1, below))
        points = gather(load, -(-len(_centroids(below)) // SLICE), runtime)
    try:
        for step in steps(points, recipe, state):
            _write_state(work, level, step)
            progress("cluster", 0, len(work.blocks), f"level {level}: {_where(recipe, step)}")
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


def _write_state(work: Work, level: int, state: State) -> None:
    """Commit a step, then drop the steps before it, except the last of the phase before (its anchor)."""
    stage = work.stage
    log = {"fingerprint": work.fingerprint, "log": json.dumps(state.log)}
    table = pa.table({"centroid": to_column(_centroids(state))}).replace_schema_metadata(log)
    name = _state_name(level, state)
    stage.files.put(name, _scratch_bytes(table))
    before = [n for n in _state_names(stage, level) if n != name]
    anchors = [n for n in before if _phase(n) == state.phase - 1]
    stage.files.delete(set(before) - set(anchors[-1:]))


def _read_state(work: Work, level: int) -> State | None:
    """The last committed step of a level, or None."""
    stage = work.stage
    names = _state_names(stage, level)
    if not names:
        return None
    table = _read_scratch(stage.files, names[-1])
    meta = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    if meta.get("fingerprint") != work.fingerprint:
        stage.files.delete(names)
        return None
    step = names[-1].rpartition("/")[2].removesuffix(".parquet").split("-")
    anchors = [n for n in names if _phase(n) == int(step[0]) - 1]
    anchor = _read_scratch(stage.files, anchors[-1]) if anchors else None
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


def _scratch_bytes(table: pa.Table) -> bytes:
    """A table of one column as Parquet, with a hash of what it says: no commit record has one of what is swept."""
    sink = io.BytesIO()
    said = {**(table.schema.metadata or {}), SUM: _sum(table)}
    pq.write_table(table.replace_schema_metadata(said), sink, row_group_size=SLICE)
    return sink.getvalue()


def _read_scratch(files: Files, name: str) -> pa.Table:
    """The table of :func:`_scratch_bytes`."""
    data = files.read(name)
    try:
        table = pq.read_table(io.BytesIO(data))
        if (table.schema.metadata or {}).get(SUM) == _sum(table):
            return table
    except (pa.ArrowException, OSError, ValueError, TypeError):  # what is wrong is said below
        pass
    raise DamagedError(f"{files.url}/{name} is damaged. Delete it and run again: its step is done again.")


def _sum(table: pa.Table) -> bytes:
    column = table.column(0).combine_chunks()
    values = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
    said = sorted((k, v) for k, v in (table.schema.metadata or {}).items() if k != SUM)
    digest = hashlib.sha256(f"{table.column_names} {len(column)} {values.type} {said}".encode())
    digest.update(np.asarray(values).tobytes())
    return digest.hexdigest().encode()


def _parents(below: State, above: State) -> np.ndarray:
    """The centroid of the level above for each of the level below: int32 [K]."""
    points, upper = _centroids(below).astype(np.float16), torch.tensor(_centroids(above))
    return np.concatenate([nearest(points[i : i + SLICE], upper)[0] for i in range(0, len(points), SLICE)])


@lru_cache(maxsize=1)
def _centroids_once(work: Work, name: str) -> np.ndarray:
    """A finished level's centroids: a worker assigns many shards to the same ones and reads them once."""
    return _stored_centroids(_read_scratch(work.stage.files, name))


def _assign_shard(work: ClusterWork, centroids_name: str, parents: list[np.ndarray], shard: Shard) -> dict[str, Any]:
    """Give every image of an embed shard its centroids; commits the shard."""
    single_thread()
    name = shard["name"]
    writer = work.writer(name)
    with work.run.stage("embed").files.parquet(f"{name}.parquet") as file:
        table = file.read()
    centroids = _centroids_once(work, centroids_name)
    points = prepare(from_column(table["embedding"]), work.center)
    device = choose(work.config.runtime.device).device
    ids, d2 = nearest(points, torch.tensor(centroids).to(device))
    columns: dict[str, Any] = {"image_id": table["image_id"], "row": table["row"], "level_1": ids}
    for level, parent in enumerate(parents, start=2):
        ids = parent[ids]
        columns[f"level_{level}"] = ids
    columns["distance"] = np.sqrt(d2)
    with writer as out:
        out.write(f"assignments/{name}.parquet", pa.table(columns), schema.assignments(len(parents) + 1))
        return out.commit(rows=table.num_rows, facts={"squared_distance": float(d2.sum(dtype=np.float64))})


def _commit_centroids(
    work: ClusterWork, levels: list[State], parents: list[np.ndarray], fitted: float
) -> dict[str, Any]:
    """Count every level's images and commit the centroid tables; returns what the manifest says of them.

    ``fitted``: seconds that the levels took in this invocation, by the clock.
    """
    writer = work.writer("centroids", worked=fitted)
    sizes = [np.zeros(len(_centroids(levels[0])), np.int64)]
    for name in work.blocks:
        with work.stage.files.parquet(f"assignments/{name}.parquet") as file:
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
    commits = work.stage.commits()
    total = math.fsum(commits[name]["facts"]["squared_distance"] for name in work.blocks)
    return {
        "inertia": total / max(1, int(sizes[0].sum())),
        "empty": [int((s == 0).sum()) for s in sizes],
        "largest": [int(s.max()) for s in sizes],
    }


def _centroids(state: State) -> np.ndarray:
    assert state.centroids is not None
    return state.centroids
