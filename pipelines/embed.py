"""embed: one vector an image, by workers that decode and encode, or decoders (CPU) that feed encoders (GPU).

Reads `source`, writes one shard of embeddings for each of its shards, and a reject row for what cannot be embedded.
"""

import io
import platform
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines.support.runtime import (
    Estimate,
    Progress,
    Result,
    computing_device,
    parallelism,
    precision_of,
    silent,
    start_ray,
    unpack,
    worker_device,
    worker_errors,
)
from pipelines.support.runtime import gpus as gpus_of
from pipelines.support.runtime import pack as packed
from siglino_core import schema
from siglino_core.config import Config, EmbedConfig, Runner, shaping
from siglino_core.curation.dedup.exact import duplicate_rows
from siglino_core.device import choose, memory_reused, single_thread
from siglino_core.encoders import Card, Preprocess, describe, load
from siglino_core.errors import DataError, SiglinoError
from siglino_core.images.decode import BadImage, decode
from siglino_core.pools.image_rows import image_rows
from siglino_core.store import Identity, Run, Shard
from siglino_core.store.vectors import to_column

if TYPE_CHECKING:
    from siglino_core.encoders.encoder import Encoder

VERSION = 1


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Embed every image of `source` that is not an exact duplicate."""
    source, stage = run.stage("source"), run.stage("embed")
    manifest = source.require()
    card = describe(config.embed)
    precision = precision_of(stage, config.runtime, config.embed.precision, redo)
    identity = Identity(
        stage="embed",
        version=VERSION,
        config={**shaping(config.embed), "weights_hash": card.identity, "precision": precision},
        inputs={"source": manifest.digest},
    )
    parts = [{"name": s["name"], "kind": "part"} for s in source.shards("part")]
    todo = stage.begin(identity, lambda: parts, redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    device = computing_device(stage, config.runtime, config.embed.precision, precision)
    done = todo.done
    progress("embed", done, len(todo.shards), device.reason)
    for record in _records(config, run, identity.fingerprint, card, todo.missing):
        done += 1
        progress("embed", done, len(todo.shards), f"{record['rows']} images in {record['shard']}")
    facts = {"encoder": config.embed.encoder, "dim": card.dim, "device": device.reason}
    finished = stage.finish(
        identity, todo, facts=facts, check=lambda n, bad: _too_many(n, bad, config.embed.max_reject_share)
    )
    return Result(state=todo.state, manifest=finished)


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What embedding the pool costs: device-hours from the encoder's FLOPs and the device's usual yield."""
    encoder, rows = config.embed.encoder, upstream["source"].rows
    dim, gflops = (1280, 0.8) if encoder == "efficientnet_lite0" else (768, 35.2)
    device = choose(config.runtime.device, config.embed.precision.value)
    # Forward passes at about 40% of an A100's bf16 peak (312 TFLOP/s), or as measured on one CPU core.
    per_second = 125e12 / (gflops * 1e9) if encoder.startswith("dinov3") or device.device == "cuda" else 30.0
    unit = "A100" if per_second > 100 else "CPU core"
    return Estimate(
        stage="embed",
        shards=-(-rows // config.source.rows_per_shard),
        rows=rows,
        bytes=rows * (2 * dim + 36),
        device=unit,
        device_hours=rows / per_second / 3600,
        dim=dim,
    )


def _records(config: Config, run: Run, fingerprint: str, card: Card, missing: list[Shard]) -> Iterator[dict[str, Any]]:
    names = [shard["name"] for shard in missing]
    if not names:
        return
    decoder = Decoder(run, config, card.preprocess)
    encoder = (run, config.embed, config.runtime.device, fingerprint, card)
    if config.runtime.runner is Runner.LOCAL:
        worker = ShardWorker(decoder, *encoder)
        yield from (worker.commit(name) for name in names)
        return
    ray = start_ray(config.runtime)
    gpus = gpus_of(config.runtime) if worker_device(config.runtime).device != "cpu" else 0
    actors = min(len(names), config.runtime.workers or gpus or parallelism(config.runtime))
    pool: dict[str, Any] = {
        "batch_size": 1,
        "batch_format": "pyarrow",
        "compute": ray.data.ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
    }
    with worker_errors():
        dataset = ray.data.from_items([{"shard": name} for name in names], override_num_blocks=len(names))
        if gpus:  # decoders on the CPUs feed encoders on the GPUs, through Ray's object store
            dataset = dataset.map_batches(decoder, batch_size=1, batch_format="pyarrow", num_cpus=1).map_batches(
                ShardEncoder, fn_constructor_args=encoder, zero_copy_batch=True, num_gpus=1, num_cpus=0, **pool
            )
        else:  # a core decodes what it encodes: pixels need not travel
            dataset = dataset.map_batches(ShardWorker, fn_constructor_args=(decoder, *encoder), num_cpus=1, **pool)
        for row in dataset.iter_rows():
            yield unpack(row["record"])


class Decoder:
    """Reads a source shard and decodes its images to the pixels that the encoder wants."""

    def __init__(self, run: Run, config: Config, preprocess: Preprocess) -> None:
        self._run, self._source, self._preprocess = run, config.source, preprocess

    def __call__(self, batch: pa.Table) -> pa.Table:
        found = [self._guarded(name) for name in batch.column("shard").to_pylist()]
        columns = {
            "meta": [f["meta"] for f in found],
            "pixels": pa.array([f["pixels"] for f in found], pa.large_binary()),
        }
        return pa.table(columns)

    def _guarded(self, shard: str) -> dict[str, Any]:
        pixels = b""

        def work() -> dict[str, Any]:
            nonlocal pixels
            found = self.decoded(shard)
            pixels = found["pixels"]
            return found["meta"]

        return {"meta": packed(work), "pixels": pixels}

    def decoded(self, shard: str) -> dict[str, Any]:
        """The shard's pixels as one buffer, uint8 [N, S, S, 3], and what belongs to them."""
        began = time.monotonic()
        size, source = self._preprocess.size, self._run.stage("source")
        pixels = io.BytesIO()
        ids: list[str] = []
        rows: list[int] = []
        where: list[dict[str, str]] = []
        rejects: list[dict[str, str]] = []
        with source.files.parquet(f"{shard}.parquet") as file:
            every = np.arange(file.metadata.num_rows)
        for row, image in image_rows(source, shard, np.setdiff1d(every, duplicate_rows(source, shard))):
            here = {"source_uri": image["source_uri"], "source_key": image["source_key"]}
            try:
                picture = decode(
                    image["bytes"],
                    max_pixels=self._source.max_pixels,
                    max_bytes=self._source.max_bytes,
                    draft=size,
                )
            except BadImage as e:
                rejects.append({**here, "reason": e.reason, "error": str(e)})
                continue
            pixels.write(self._preprocess(picture).tobytes())
            ids.append(image["image_id"])
            rows.append(row)
            where.append(here)
        meta = {"shard": shard, "image_id": ids, "row": rows, "where": where, "rejects": rejects}
        meta["seconds"] = time.monotonic() - began
        return {"meta": meta, "pixels": pixels.getbuffer()}


class ShardEncoder:
    """An actor: holds the encoder, turns one shard's pixels into embeddings, and commits them."""

    def __init__(self, run: Run, config: EmbedConfig, device: str, fingerprint: str, card: Card) -> None:
        self._stage, self._fingerprint, self._card = run.stage("embed"), fingerprint, card
        self._fault: SiglinoError | None = None
        if choose(device).device == "cpu":
            single_thread()
        try:
            self._encoder = _encoder(config, choose(device).device, card)
        except SiglinoError as e:  # said with the first shard: out of a constructor Ray would wrap it
            self._fault = e
            return
        self._batch = config.batch_size or self._encoder.device.batch_size

    def __call__(self, batch: pa.Table) -> pa.Table:
        found = zip(batch.column("meta").to_pylist(), batch.column("pixels"), strict=True)
        return pa.table({"record": [packed(self._commit_packed, m, p.as_buffer()) for m, p in found]})

    def _commit_packed(self, meta: str, pixels: Any) -> dict[str, Any]:
        return self.commit({"meta": unpack(meta), "pixels": pixels})

    def commit(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Embed and commit a shard; returns its commit record."""
        if self._fault is not None:
            raise self._fault
        meta = decoded["meta"]
        shard, size = meta["shard"], self._card.preprocess.size
        writer = self._stage.writer(shard, self._fingerprint, worked=meta["seconds"])
        pixels = np.frombuffer(decoded["pixels"], np.uint8).reshape(-1, size, size, 3)
        vectors = _encoded(self._encoder, pixels, self._batch)
        finite = np.isfinite(vectors).all(1)
        rejects = meta["rejects"]
        for i in np.flatnonzero(~finite):
            error = f"the embedding of image {meta['image_id'][i]} is not finite"
            rejects.append({**meta["where"][i], "reason": "not_finite", "error": error})
        table = pa.table(
            {
                "image_id": pa.array(meta["image_id"], pa.string()).filter(pa.array(finite)),
                "row": pa.array(meta["row"], pa.int32()).filter(pa.array(finite)),
                "embedding": to_column(vectors[finite].astype(np.float16)),
            }
        )
        counts: dict[str, int] = {}
        for reject in rejects:
            counts[reject["reason"]] = counts.get(reject["reason"], 0) + 1
        with writer as out:
            out.write(f"{shard}.parquet", table, schema.embed(self._card.dim), row_group_size=16384)
            out.write(f"rejects/{shard}.parquet", pa.Table.from_pylist(rejects, schema.REJECTS), schema.REJECTS)
            return out.commit(rows=table.num_rows, rejects=counts)


class ShardWorker:
    """An actor on a CPU, or this process: decodes a shard, turns it into embeddings, and commits them."""

    def __init__(self, decoder: Decoder, *encoder: Any) -> None:
        self._decoder, self._encoder = decoder, ShardEncoder(*encoder)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.table({"record": [packed(self.commit, name) for name in batch.column("shard").to_pylist()]})

    def commit(self, shard: str) -> dict[str, Any]:
        """Embed and commit a shard; returns its commit record."""
        return self._encoder.commit(self._decoder.decoded(shard))


def _encoder(config: EmbedConfig, device: str, card: Card) -> "Encoder":
    """The encoder, if it is on this machine the one that the run began with."""
    encoder = load(config, device, config.precision.value)
    if encoder.card != card:
        raise DataError(
            f"embed.encoder={config.encoder}: the weights on {platform.node()} are not those that the run began "
            f"with ({encoder.card.identity[:12]}, not {card.identity[:12]}). Give every node the same."
        )
    return encoder


def _encoded(encoder: "Encoder", pixels: np.ndarray, batch: int) -> np.ndarray:
    with memory_reused():
        parts = [encoder.encode(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
    return np.concatenate(parts) if parts else np.empty((0, encoder.card.dim), np.float32)


def _too_many(rows: int, rejects: dict[str, int], limit: float) -> None:
    bad = sum(rejects.values())
    if bad > limit * max(1, rows + bad):
        raise DataError(
            f"embed: {bad} of {rows + bad} images could not be used ({rejects}), more than "
            f"embed.max_reject_share={limit}. See embed/rejects, or raise the share."
        )
