"""The source stage: every usable image of the pool as a row, every other as a reject, and the exact duplicates.

Two phases in one plan: ``part-N`` shards read the pool; ``duplicates-P`` shards then read the ids of all of them.
"""

import math
from collections.abc import Iterable
from functools import partial
from typing import Any

from pipelines.support import price
from pipelines.support.runtime import Estimate, Progress, Result, map_shards, silent
from siglino_core import schema
from siglino_core.config import Config, Format, Keep, SourceConfig, shaping
from siglino_core.curation.dedup import exact as duplicates
from siglino_core.errors import DataError
from siglino_core.pools.location import Location
from siglino_core.pools.rows import SourceRows
from siglino_core.pools.sniff import Pool, open_pool, read
from siglino_core.store import Identity, Manifest, Run, Shard, Todo

STAGE = "source"
VERSION = 3

READ_MEMORY = 512 << 20  # bytes a part shard may need: a row group, what is read ahead, and one large image
ID_BYTES = 100  # bytes of memory an id takes while duplicates are found
PARTITION_BYTES = 1_000_000_000


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Read the pool into ``<run>/source``.

    Args:
        redo: as in `siglino_core.store.Stage.begin`.

    Raises:
        ConfigError: the stage was made by another config, or from a pool that has changed since.
        DataError: the pool is empty or no pool, or too many of its images cannot be used.
        StoreError: a file of the pool has gone or cannot be read, or the run's store failed.
    """
    pool = open_pool(config.source)
    stage = run.stage(STAGE)
    identity = _identity(config.source, pool)
    todo = stage.begin(identity, lambda: _shards(config.source, pool), redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    parts = [s for s in todo.shards if not _is_duplicates(s)]
    phases = (
        (partial(read_part, run, identity.fingerprint, pool.format, pool.location, config.source), READ_MEMORY, False),
        (
            partial(find_duplicates, run, identity.fingerprint, [s["name"] for s in parts]),
            min(PARTITION_BYTES, max(64 << 20, _rows(parts) * ID_BYTES)),
            True,
        ),
    )
    done, total = len(todo.shards) - len(todo.missing), len(todo.shards)
    progress(STAGE, done, total, f"{pool.format.value} at {pool.uri}")
    for work, memory, second in phases:
        missing = [s for s in todo.missing if _is_duplicates(s) is second]
        for record in map_shards(work, missing, config.runtime, memory=memory):
            done += 1
            progress(STAGE, done, total, f"{record['shard']}: {record['facts']['says']}")
    manifest = _finish(config.source, pool, run, identity, todo)
    return Result(state=todo.state, manifest=manifest)


def plan(config: Config, run: Run) -> Estimate:
    """What :func:`run` would do, from the pool's listing (and the footers of Parquet files) alone.

    Raises:
        ConfigError, DataError, StoreError: as :func:`run`.
    """
    pool = open_pool(config.source)
    stage = run.stage(STAGE)
    fingerprint = _identity(config.source, pool).fingerprint
    stored = stage.files.read_json("plan.json")
    if stored is not None and stored["fingerprint"] == fingerprint:
        shards, commits = stored["shards"], stage.commits()
    else:
        shards, commits = _shards(config.source, pool), {}
    missing = [s for s in shards if commits.get(s["name"], {}).get("fingerprint") != fingerprint]
    rows = _rows(missing)
    image_bytes = pool.bytes * rows // max(1, _rows(shards)) if config.source.keep is Keep.BYTES else 0
    return Estimate(
        stage=STAGE,
        shards=len(missing),
        rows=rows,
        bytes=image_bytes + rows * price.SOURCE_ROW,
        device="cpu",
        device_hours=rows * price.SOURCE_IMAGE[config.source.verify] / 3600,
        note=f"{pool.format.value}, {len(pool.files)} files, {pool.bytes / 1e9:.3g} GB at {pool.uri}"
        + ("; rows guessed from the tars' lengths" if pool.format is Format.WEBDATASET else ""),
    )


def _identity(config: SourceConfig, pool: Pool) -> Identity:
    shape = shaping(config) | {"format": pool.format.value, "pool": pool.listing()}
    return Identity(stage=STAGE, version=VERSION, config=shape, inputs={})


def _shards(config: SourceConfig, pool: Pool) -> list[Shard]:
    parts = list(pool.plan(config))
    rows = _rows(parts)
    if rows == 0:
        raise DataError(f"source.uri={pool.uri}: no image in {len(pool.files)} {pool.format.value} files.")
    partitions = max(1, math.ceil(rows * ID_BYTES / PARTITION_BYTES))
    digits = max(5, len(str(len(parts))))  # so that the names sort as the shards do
    return [{"name": f"part-{i:0{digits}d}", **part} for i, part in enumerate(parts)] + [
        {"name": f"{duplicates.PREFIX}{p:05d}", "partition": p, "partitions": partitions} for p in range(partitions)
    ]


def _is_duplicates(shard: Shard) -> bool:
    return shard["name"].startswith(duplicates.PREFIX)


def _rows(shards: Iterable[Shard]) -> int:
    return sum(s.get("rows", 0) for s in shards)


def read_part(
    run: Run, fingerprint: str, kind: Format, location: Location, config: SourceConfig, shard: Shard
) -> dict[str, Any]:
    """Read a shard's part of the pool and commit it; returns its commit record."""
    name = shard["name"]
    with run.stage(STAGE).writer(name, fingerprint) as out:
        with (
            out.parquet(f"{name}.parquet", schema.SOURCE) as images,
            out.parquet(f"rejects/{name}.parquet", schema.REJECTS) as rejects,
        ):
            rows = SourceRows(images, rejects, config)
            for item in read(kind, location, shard, config):
                rows.add(item)
            rows.flush()
        facts = {
            "bytes": rows.bytes,
            "examples": rows.examples,
            "says": f"{rows.images} images, {rows.reasons.total()} rejects",
        }
        return out.commit(rows=rows.images, rejects=dict(sorted(rows.reasons.items())), facts=facts)


def find_duplicates(run: Run, fingerprint: str, parts: list[str], shard: Shard) -> dict[str, Any]:
    """Find the duplicates of one partition among the ids of all ``parts``, and commit them."""
    stage = run.stage(STAGE)
    with stage.writer(shard["name"], fingerprint) as out:
        found = duplicates.find(stage.files, parts, shard["partition"], shard["partitions"])
        out.write(duplicates.file_of(shard["name"]), found, schema.DUPLICATES)
        facts = {"duplicates": found.num_rows, "says": f"{found.num_rows} duplicates"}
        return out.commit(rows=0, facts=facts)


def _finish(config: SourceConfig, pool: Pool, run: Run, identity: Identity, todo: Todo) -> Manifest:
    stage = run.stage(STAGE)
    records = stage.commits()
    images = sum(r["rows"] for r in records.values())
    facts = {
        "format": pool.format.value,
        "uri": pool.uri,
        "files": len(pool.files),
        "images": images,
        "bytes": sum(r["facts"].get("bytes", 0) for r in records.values()),
        "duplicates": sum(r["facts"].get("duplicates", 0) for r in records.values()),
    }
    examples = [
        e for s in todo.shards if s["name"] in records for e in records[s["name"]]["facts"].get("examples", [])
    ][:3]
    return stage.finish(identity, todo, facts=facts, check=partial(_check, config, pool.uri, examples))


def _check(config: SourceConfig, uri: str, examples: list[str], rows: int, rejects: dict[str, int]) -> None:
    """Refuse a pool with too many rejects, or without an image."""
    bad = sum(rejects.values())
    if rows and bad <= config.max_reject_share * (rows + bad):
        return
    counts = ", ".join(f"{reason} {count}" for reason, count in rejects.items())
    limit = f", more than source.max_reject_share={config.max_reject_share:g}" if rows else ""
    raise DataError(
        f"source.uri={uri}: {bad} of {rows + bad} images cannot be used{limit} ({counts}). Such as:\n  "
        + "\n  ".join(examples)
    )
