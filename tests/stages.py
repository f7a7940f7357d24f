"""Finished stages written by hand: source and embed with vectors, duplicates, rejects and labels as asked; others."""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core import schema
from siglino_core.config import (
    ClusterConfig,
    Config,
    Pick,
    Quota,
    Runner,
    RuntimeConfig,
    SampleConfig,
    SourceConfig,
)
from siglino_core.store import Identity, Manifest, Run, Stage
from siglino_core.store.vectors import to_column

DIM = 12


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What the pool holds, row by row."""

    vectors: np.ndarray
    labels: list[str | None]
    copies: dict[int, int] = field(default_factory=dict)  # row -> the earlier row whose bytes it repeats
    rejected: frozenset[int] = frozenset()  # rows that embed could not use

    def data(self, row: int) -> bytes:
        return b"image %d" % self.copies.get(row, row)

    def image_id(self, row: int) -> str:
        return hashlib.sha256(self.data(row)).hexdigest()[:32]

    def embedded(self) -> list[int]:
        return [r for r in range(len(self.vectors)) if r not in self.copies and r not in self.rejected]


def pool(n: int = 240, classes: int = 12, seed: int = 0, near: int = 40, labelled: bool = True) -> Pool:
    """A long-tailed mixture; the last ``near`` vectors are near-duplicates of earlier ones."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, classes + 1)
    label = rng.choice(classes, n, p=share / share.sum())
    x = rng.normal(size=(classes, DIM))[label] + 0.4 * rng.normal(size=(n, DIM))
    of = rng.integers(0, n - near, near)
    x[n - near :] = x[of] + 0.005 * rng.normal(size=(near, DIM))
    label[n - near :] = label[of]
    order = rng.permutation(n)
    x = x[order] / np.linalg.norm(x[order], axis=1, keepdims=True)
    names = [f"class {i}" if labelled and i else None for i in label[order]]
    copies = {n - 1: 0, n // 2: 3} if n > 8 else {}
    return Pool(vectors=x.astype(np.float16), labels=names, copies=copies, rejected=frozenset({5, n // 3}))


def config(**sections: Any) -> Config:
    """Small levels, one process, centred, the published quotas; sections are their config's fields."""
    made = {
        "source": SourceConfig(uri="by hand"),
        "cluster": ClusterConfig(num_clusters=[20, 6, 2], center=True),
        "sample": SampleConfig(target_size=60, trim=0.0, quota=Quota.HIERARCHICAL, pick=Pick.RANDOM),
        "runtime": RuntimeConfig(runner=Runner.LOCAL),
    }
    for name, value in sections.items():
        made[name] = dataclasses.replace(made[name], **value) if isinstance(value, dict) else value
    return Config(**made)


def write(run: Run, of: Pool, rows_per_shard: int = 40) -> Run:
    """Both stages, finished."""
    names = [f"part-{i:05d}" for i in range(-(-len(of.vectors) // rows_per_shard))]
    rows = [list(range(i * rows_per_shard, min(len(of.vectors), (i + 1) * rows_per_shard))) for i in range(len(names))]
    digest = _source(run.stage("source"), of, names, rows)
    _embed(run.stage("embed"), of, names, rows, digest)
    return run


def _source(stage: Stage, of: Pool, names: list[str], rows: list[list[int]]) -> str:
    identity = Identity(stage="source", version=1, config={}, inputs={})
    todo = stage.begin(
        identity,
        lambda: [
            *({"name": n, "kind": "part"} for n in names),
            {"name": "duplicates-00000", "kind": "duplicates"},
        ],
    )
    copies: list[tuple[Any, ...]] = []
    for name, mine in zip(names, rows, strict=True):
        images = [
            {
                "image_id": of.image_id(r),
                "source_uri": "pool.parquet",
                "source_key": str(r),
                "source_offset": r,
                "format": "jpeg",
                "width": 10 + r % 7,
                "height": 10,
                "num_bytes": len(of.data(r)),
                "caption": f"caption {r}" if r % 2 else None,
                "label": of.labels[r],
                "bytes": of.data(r),
            }
            for r in mine
        ]
        for i, r in enumerate(mine):
            if r in of.copies:
                first = of.copies[r]
                at = next(n for n, held in enumerate(rows) if first in held)
                copies.append((of.image_id(r), name, i, names[at], rows[at].index(first)))
        with stage.writer(name, identity.fingerprint) as out:
            out.write(f"{name}.parquet", pa.Table.from_pylist(images, schema.SOURCE), schema.SOURCE)
            out.commit(rows=len(mine))
    with stage.writer("duplicates-00000", identity.fingerprint) as out:
        table = pa.Table.from_pylist(
            [dict(zip(schema.DUPLICATES.names, c, strict=True)) for c in copies], schema.DUPLICATES
        )
        out.write("duplicates/part-00000.parquet", table, schema.DUPLICATES)
        out.commit(rows=0)
    return stage.finish(identity, todo, facts={"uri": "by hand"}).digest


def _embed(stage: Stage, of: Pool, names: list[str], rows: list[list[int]], source: str) -> None:
    identity = Identity(stage="embed", version=1, config={}, inputs={"source": source})
    todo = stage.begin(identity, lambda: [{"name": n, "kind": "part"} for n in names])
    embedded = set(of.embedded())
    for name, mine in zip(names, rows, strict=True):
        here = [i for i, r in enumerate(mine) if r in embedded]
        table = pa.table(
            {
                "image_id": pa.array([of.image_id(mine[i]) for i in here], pa.string()),
                "row": pa.array(here, pa.int32()),
                "embedding": to_column(of.vectors[[mine[i] for i in here]].reshape(-1, of.vectors.shape[1])),
            }
        )
        bad = sum(r in of.rejected for r in mine)
        with stage.writer(name, identity.fingerprint) as out:
            out.write(f"{name}.parquet", table, schema.embed(of.vectors.shape[1]))
            out.commit(rows=len(here), rejects={"truncated": bad} if bad else {})
    stage.finish(identity, todo, facts={"dim": of.vectors.shape[1], "asked": ["by hand"]})


def finish(
    run: Run, stage: str, facts: dict[str, Any] | None = None, files: dict[str, bytes] | None = None
) -> Manifest:
    """A stage finished by hand: one shard of some files, and facts."""
    held, identity = run.stage(stage), Identity(stage=stage, version=1, config={}, inputs={})
    todo = held.begin(identity, lambda: [{"name": "all", "kind": "part"}])
    with held.writer("all", identity.fingerprint) as out:
        for name, data in (files or {"data": b"x"}).items():
            out.path(name).write_bytes(data)
        out.commit(rows=3)
    return held.finish(identity, todo, facts=facts)


def trained(run: Run, model: Any, scratch: Any, facts: dict[str, Any] | None = None) -> Manifest:
    """A finished training by hand, with a `SigLinoModel` as its student."""
    model.save_pretrained(scratch)
    files = {f"student/{n}": (scratch / n).read_bytes() for n in ("config.json", "model.safetensors")}
    return finish(run, "train", facts, files)


def table(run: Run, stage: str, prefix: str) -> pa.Table:
    """A stage's files of a kind, in order, as one table."""
    files = run.stage(stage).files
    parts = []
    for name in sorted(n for n in files.sizes() if n.startswith(prefix) and n.endswith(".parquet")):
        with files.parquet(name) as file:
            parts.append(file.read())
    return pa.concat_tables(parts)
