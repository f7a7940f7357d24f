"""A pool as finished `source` and `embed` stages of a run folder, so that recipes run as users run them.

Labels are left out: no recipe reads them, and the sample's own measures of them would cost time for nothing. The
images are a few bytes each, for no stage after `embed` decodes one.

Legend: N images, D channels.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from siglino_core import schema
from siglino_core.store import Identity, Run, Shard, Stage
from siglino_core.store.lease import release_mine
from siglino_core.store.vectors import to_column

ROWS = 16_384  # a shard
URI = "embeddings"  # of the pool, as the stages' records name it


@dataclass(frozen=True, kw_only=True, eq=False)
class Folder:
    """A run folder whose pool is written.

    Attributes:
        ids: of the images, in the order in which they were given.
        order_N: the rows as they lie in the shards.
    """

    run: Run
    ids: Sequence[str]
    order_N: np.ndarray


@contextmanager
def scratch() -> Iterator[str]:
    """The URL of a run folder that is there for as long as it is looked at."""
    with tempfile.TemporaryDirectory(prefix="siglino-judge-") as name:
        try:
            yield f"{name}/run"
        finally:  # a stage that failed holds its lease, which must not outlive its folder
            release_mine()


def written(url: str, unit_ND: np.ndarray, ids: Sequence[str], sizes_N2: np.ndarray | None = None) -> Folder:
    """Write both stages.

    Args:
        unit_ND: of length 1.
        ids: 32 hex digits each, no two alike. The images lie in their order, which is a random one: where they stood
            in the arrays decides nothing.
        sizes_N2: width and height of every image; None: all alike.
    """
    run, order_N = Run(url), np.argsort(np.asarray(ids), kind="stable")
    starts = range(0, len(ids), ROWS)
    shards = {f"part-{i:05d}": order_N[start : start + ROWS] for i, start in enumerate(starts)}
    digest = _source(run.stage("source"), shards, ids, sizes_N2)
    _embed(run.stage("embed"), shards, ids, unit_ND, digest)
    return Folder(run=run, ids=ids, order_N=order_N)


def kept(folder: Folder) -> np.ndarray:
    """The rows that a finished sample keeps, sorted: int64."""
    stage, found = folder.run.stage("sample"), []
    for shard in folder.run.stage("source").shards("part"):
        with stage.files.parquet(f"{shard['name']}.parquet") as file:
            found.append(file.read(columns=["kept"])["kept"].to_numpy())
    return np.sort(folder.order_N[np.concatenate(found)])


def _source(stage: Stage, shards: dict[str, np.ndarray], ids: Sequence[str], sizes_N2: np.ndarray | None) -> str:
    identity = Identity(stage=stage.name, version=0, config={}, inputs={})
    none: Shard = {"name": "duplicates-00000", "kind": "duplicates"}
    todo = stage.begin(identity, lambda: [*({"name": n, "kind": "part"} for n in shards), none])
    for name, rows in shards.items():
        data = [b"row %d" % row for row in rows]
        sizes = np.ones((len(rows), 2), np.int32) if sizes_N2 is None else sizes_N2[rows].astype(np.int32)
        n = len(rows)
        columns = {
            "image_id": [ids[row] for row in rows],
            "source_uri": [URI] * n,
            "source_key": [str(row) for row in rows],
            "source_offset": rows.astype(np.int64),
            "format": ["png"] * n,
            "width": sizes[:, 0],
            "height": sizes[:, 1],
            "num_bytes": [len(d) for d in data],
            "caption": pa.nulls(n, pa.string()),
            "label": pa.nulls(n, pa.string()),
            "bytes": data,
        }
        with stage.writer(name, identity.fingerprint) as out:
            out.write(f"{name}.parquet", pa.Table.from_pydict(columns, schema.SOURCE), schema.SOURCE)
            out.commit(rows=n)
    with stage.writer(none["name"], identity.fingerprint) as out:
        out.write("duplicates/part-00000.parquet", schema.DUPLICATES.empty_table(), schema.DUPLICATES)
        out.commit(rows=0)
    return stage.finish(identity, todo, facts={"uri": URI, "formats": {"png": len(ids)}}).digest


def _embed(stage: Stage, shards: dict[str, np.ndarray], ids: Sequence[str], unit_ND: np.ndarray, source: str) -> None:
    identity = Identity(stage=stage.name, version=0, config={}, inputs={"source": source})
    todo = stage.begin(identity, lambda: [{"name": n, "kind": "part"} for n in shards])
    dim = unit_ND.shape[1]
    for name, rows in shards.items():
        table = pa.table(
            {
                "image_id": pa.array([ids[row] for row in rows], pa.string()),
                "row": pa.array(np.arange(len(rows), dtype=np.int32)),
                "embedding": to_column(unit_ND[rows].astype(np.float16)),
            }
        )
        with stage.writer(name, identity.fingerprint) as out:
            out.write(f"{name}.parquet", table, schema.embed(dim), row_group_size=16384)
            out.commit(rows=len(rows))
    stage.finish(identity, todo, facts={"dim": dim, "asked": [URI]})
