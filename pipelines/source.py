"""The source stage: every usable image of the pool as a row, every other as a reject, and the exact duplicates.

Two phases in one plan: ``part-N`` shards read the pool; ``duplicates-P`` shards then read the ids of all of them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines.support import price
from pipelines.support.runtime import Estimate, Progress, Result, map_shards, silent
from pipelines.support.work import Work
from siglino_core import schema
from siglino_core.config import Config, Format, Keep, SourceConfig, Verify, shaping
from siglino_core.curation.dedup import exact as duplicates
from siglino_core.errors import DataError, StoreError
from siglino_core.pools import webdataset
from siglino_core.pools.location import Location
from siglino_core.pools.record import NOT_DOWNLOADED
from siglino_core.pools.rows import SourceRows
from siglino_core.pools.sniff import Pool, open_pool, read
from siglino_core.pools.tars import FAULTS as TAR_FAULTS
from siglino_core.store import Identity, Manifest, Run, Shard, Stage, Todo, of_kind

STAGE = "source"
VERSION = 5

ROWS_MEMORY = 256 << 20  # bytes a part shard may need beside its largest image: a row group, and what is read ahead
DECODED_PIXEL = 8  # bytes that decoding takes for a pixel: four of an image, and as many of a decoder's own copy
MEMBER_BYTES = 512  # of memory that a tar's member takes while its samples are put together
ID_BYTES = 100  # bytes of memory an id takes while duplicates are found
PARTITION_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceWork(Work):
    """What every unit of this stage knows."""

    format: Format
    location: Location


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Read the pool into ``<run>/source``.

    Args:
        redo: as in `siglino_core.store.Stage.begin`.

    Raises:
        ConfigError: the stage was made by another config, or from a pool that has changed since.
        DataError: the pool is empty or no pool, or too many of its images cannot be used.
        StoreError: a file of the pool has gone or cannot be read, or the run's store failed.
    """
    stage = run.stage(STAGE)
    try:
        pool = open_pool(config.source)
    except (DataError, StoreError) as e:
        if redo != "always" and _has_the_images(stage):
            whole = f"{stage.files.url} is finished and holds the images"
            e.args = (*e.args, f"{whole}: --from embed goes on without the pool.")
        raise
    identity = _identity(config.source, pool)
    todo = stage.begin(identity, lambda: _shards(config.source, pool), redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    work = SourceWork(
        run=run,
        stage=todo.stage,
        fingerprint=identity.fingerprint,
        config=config,
        format=pool.format,
        location=pool.location,
    )
    parts = of_kind(todo.shards, "part")
    id_memory = min(PARTITION_BYTES, max(64 << 20, _rows(parts) * ID_BYTES))
    phases = (
        ("part", partial(read_part, work), memory_told(config.source, pool.format, parts)),
        ("duplicates", partial(find_duplicates, work, [s["name"] for s in parts]), id_memory),
    )
    done, total = todo.done, len(todo.shards)
    progress(STAGE, done, total, f"{pool.format.value} at {pool.uri}")
    for kind, do, memory in phases:
        for record in map_shards(do, of_kind(todo.missing, kind), config.runtime, memory=memory):
            done += 1
            progress(STAGE, done, total, f"{record['shard']}: {record['facts']['says']}")
    manifest = _finish(work, pool, identity, todo)
    return Result(state=todo.state, manifest=manifest)


def _has_the_images(stage: Stage) -> bool:
    """Whether the stage is finished, and what follows needs no pool any more."""
    manifest = stage.manifest()
    return manifest is not None and manifest.identity["config"]["keep"] == Keep.BYTES.value


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What :func:`run` would do, from the pool's listing (and the footers of Parquet files) alone.

    Args:
        upstream: the estimates of the stages before; there are none.

    Raises:
        ConfigError, DataError, StoreError: as :func:`run`.
    """
    source = config.source
    if source.pool_size:
        rows, image_bytes = source.pool_size, price.WEB_IMAGE * source.pool_size
        shards = -(-rows // source.rows_per_shard)
        note = f"{rows:,} images as configured, not listed"
    else:
        pool = open_pool(source)
        parts = _shards(source, pool)
        rows, image_bytes, shards = _rows(parts), pool.bytes, len(parts)
        note = f"{pool.format.value}, {len(pool.files)} files, {pool.bytes / 1e9:.3g} GB at {pool.uri}"
        note += "; rows guessed from the tars' lengths" if pool.format is Format.WEBDATASET else ""
    return Estimate(
        stage=STAGE,
        shards=shards,
        rows=rows,
        bytes=rows * price.SOURCE_ROW + (image_bytes if source.keep is Keep.BYTES else 0),
        device=price.CPU_CORE,
        device_hours=rows * price.SOURCE_IMAGE[source.verify] / 3600,
        note=note,
        image_bytes=image_bytes / max(1, rows),
    )


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many images a pool has, before any is read.

    Attributes:
        most: there are surely no more distinct ones; None: as many as were asked about, or nothing is known.
        about: for prices; of a pool with more than enough, not all.
    """

    most: int | None
    about: int


def count(config: SourceConfig, enough: int) -> Count:
    """Count the pool's images by its listing and the footers of its Parquet files, until there are ``enough``.

    Raises:
        ConfigError, DataError, StoreError: as :func:`run`.
    """
    pool, found = open_pool(config), 0
    if pool.format is Format.IMAGEFOLDER:
        images = len(pool.joined.images)
        return Count(most=images, about=config.pool_size or images)
    most = webdataset.most(pool.location, pool.files, enough) if pool.format is Format.WEBDATASET else None
    if not config.pool_size or pool.format is Format.PARQUET:
        for part in pool.plan(config):
            found += part["rows"]
            if found >= enough:
                break
        else:
            most = found if pool.format is Format.PARQUET else most
    return Count(most=most, about=config.pool_size or found)


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
    return [{"name": f"part-{i:0{digits}d}", "kind": "part", **part} for i, part in enumerate(parts)] + [
        {"name": f"{duplicates.PREFIX}{p:05d}", "kind": "duplicates", "partition": p, "partitions": partitions}
        for p in range(partitions)
    ]


def _rows(shards: Iterable[Shard]) -> int:
    return sum(s.get("rows", 0) for s in shards)


def memory_told(config: SourceConfig, kind: Format, parts: Iterable[Shard]) -> int:
    """Bytes that a part may need: the largest image, encoded and decoded, and what a layout keeps beside it."""
    image = 2 * config.max_bytes + (DECODED_PIXEL * config.max_pixels if config.verify is Verify.DECODE else 0)
    pages = 3 * max((s.get("page", 0) for s in parts), default=0)  # packed, unpacked, and as values
    names = MEMBER_BYTES * max((s["rows"] for s in parts), default=0) if kind is Format.WEBDATASET else 0
    return ROWS_MEMORY + image + pages + names


def read_part(work: SourceWork, shard: Shard) -> dict[str, Any]:
    """Read a shard's part of the pool and commit it; returns its commit record."""
    name, config = shard["name"], work.config.source
    with work.writer(name) as out:
        with (
            out.parquet(f"{name}.parquet", schema.SOURCE) as images,
            out.parquet(f"rejects/{name}.parquet", schema.REJECTS) as rejects,
        ):
            rows = SourceRows(images, rejects, config)
            for item in read(work.format, work.location, shard, config):
                rows.add(item)
            rows.flush()
        facts = {
            "bytes": rows.bytes,
            "largest": rows.largest,
            "formats": dict(sorted(rows.formats.items())),
            "passed": dict(sorted(rows.passed.items())),
            "examples": rows.examples,
            "says": f"{rows.images} images, {rows.reasons.total()} rejects",
        }
        return out.commit(rows=rows.images, rejects=dict(sorted(rows.reasons.items())), facts=facts)


def find_duplicates(work: Work, parts: list[str], shard: Shard) -> dict[str, Any]:
    """Find the duplicates of one partition among the ids of all ``parts``, and commit them."""
    with work.writer(shard["name"]) as out:
        copies = duplicates.find(work.stage.files, parts, shard["partition"], shard["partitions"])
        out.write(duplicates.file_of(shard["name"]), copies, schema.DUPLICATES)
        facts = {"duplicates": copies.num_rows, "says": f"{copies.num_rows} duplicates"}
        return out.commit(rows=0, facts=facts)


def _finish(work: Work, pool: Pool, identity: Identity, todo: Todo) -> Manifest:
    records = work.stage.commits()
    parts = {s["name"]: records[s["name"]] for s in of_kind(todo.shards, "part") if s["name"] in records}
    images = sum(r["rows"] for r in records.values())
    passed, formats = pool.passed.copy(), Counter[str]()
    for record in parts.values():
        passed.update(record["facts"]["passed"])
        formats.update(record["facts"]["formats"])
    facts = {
        "format": pool.format.value,
        "uri": pool.uri,
        "files": len(pool.files),
        "passed_over": dict(sorted((+passed).items())),
        "images": images,
        "bytes": sum(r["facts"].get("bytes", 0) for r in records.values()),
        "formats": dict(sorted(formats.items())),
        "largest": {k: max(r["facts"]["largest"][k] for r in parts.values()) for k in ("bytes", "pixels")},
        "duplicates": sum(r["facts"].get("duplicates", 0) for r in records.values()),
    }
    examples = [e for r in parts.values() for e in r["facts"]["examples"]][:3]
    unread = _unread(parts.values()) if pool.format is Format.WEBDATASET else 0
    check = partial(_check, work.config.source, pool.uri, examples, unread)
    return work.run.stage(STAGE).finish(identity, todo, facts=facts, check=check)


def _unread(parts: Iterable[Mapping[str, Any]]) -> int:
    """Images that tars of which nothing could be read probably held beyond what their length tells."""
    parts = list(parts)
    read = [p["rows"] for p in parts if p["rows"]]
    mean = sum(read) // len(read) if read else 1
    lost = [sum(p["rejects"].values()) for p in parts if not p["rows"] and p["rejects"].keys() & TAR_FAULTS]
    return sum(max(0, mean - planned) for planned in lost)


def _check(
    config: SourceConfig, uri: str, examples: list[str], unread: int, rows: int, rejects: dict[str, int]
) -> None:
    """Refuse a pool with too many rejects, or without an image; what never was an image is no reject here."""
    if not rows and not rejects:
        raise DataError(
            f"source.uri={uri}: there is no image in it. `siglino plan` says what kind of pool it is taken for."
        )
    bad = sum(count for reason, count in rejects.items() if reason != NOT_DOWNLOADED) + unread
    if rows and bad <= config.max_reject_share * (rows + bad):
        return
    counts = ", ".join(f"{reason} {count}" for reason, count in rejects.items())
    counts += f", and about {unread} more in tars that could not be read" if unread else ""
    limit = f", more than source.max_reject_share={config.max_reject_share:g}" if rows else ""
    raise DataError(
        f"source.uri={uri}: {bad} of {rows + bad} images cannot be used{limit} ({counts}). Such as:",
        *(f"  {example}" for example in examples),
    )
