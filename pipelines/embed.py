"""embed: one vector an image, by workers that decode and encode, or decoders (CPU) that feed encoders (GPU).

Reads `source`, writes one shard of embeddings for each of its shards, and a reject row for what cannot be embedded.
"""

import io
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.support import price
from pipelines.support.decoding import Decoded, records
from pipelines.support.inputs import check
from pipelines.support.networks import as_finished
from pipelines.support.runtime import (
    Estimate,
    Progress,
    Result,
    computing_device,
    precision_of,
    silent,
)
from pipelines.support.work import Work
from siglino_core import schema
from siglino_core.config import Config, EmbedConfig, shaping
from siglino_core.curation.dedup.exact import duplicate_rows
from siglino_core.device import choose, memory_reused, single_thread
from siglino_core.encoders import Card, Spec
from siglino_core.errors import ConfigError, DataError, SiglinoError
from siglino_core.images.decode import BadImage, decode
from siglino_core.networks import Embeds, describe, load_encoder, outline
from siglino_core.pools.image_rows import image_rows
from siglino_core.report.numbers import short
from siglino_core.store import Identity, Run, Shard, Stage
from siglino_core.store.vectors import to_column

VERSION = 3
LENGTH_TOLERANCE = 0.01  # of an embedding; float16 of any width is within 0.001
DECODED_PIXEL = 12  # bytes that an image takes for a pixel while it becomes RGB


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbedWork(Work):
    """What every unit of this stage knows.

    Attributes:
        card: of the encoder that the run began with; a worker that has another refuses.
    """

    card: Card


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Embed every image of `source` that is not an exact duplicate."""
    source, stage = run.stage("source"), run.stage("embed")
    manifest = source.require()
    card, network = _network(config.embed, stage, redo)
    precision = precision_of(stage, config.runtime, config.embed.precision, redo)
    identity = Identity(
        stage="embed",
        version=VERSION,
        config={**shaping(config.embed), **network, "precision": precision},
        inputs={"source": manifest.digest},
    )
    parts = [{"name": s["name"], "kind": "part"} for s in source.shards("part")]
    todo = stage.begin(identity, lambda: parts, redo=redo)
    if todo.manifest is not None:
        return Result(state=todo.state, manifest=todo.manifest)
    card = card or describe(Spec.of(config.embed))
    check(config.runtime, source)
    device = computing_device(stage, config.runtime, config.embed.precision, precision)
    done = todo.done
    progress("embed", done, len(todo.shards), device.reason)
    work = EmbedWork(run=run, stage=todo.stage, fingerprint=identity.fingerprint, config=config, card=card)
    for record in _records(work, todo.missing):
        done += 1
        progress("embed", done, len(todo.shards), f"{record['rows']} images in {record['shard']}")
    facts = {"asked": [config.embed.encoder], "dim": card.dim, "device": device.reason}
    finished = stage.finish(
        identity, todo, facts=facts, check=lambda n, bad: _too_many(n, bad, config.embed.max_reject_share)
    )
    return Result(state=todo.state, manifest=finished)


def _network(config: EmbedConfig, stage: Stage, redo: str) -> tuple[Card | None, dict[str, str]]:
    """The encoder's card, and what of it decides the bytes; None: the stage is finished, and the encoder not here.

    Raises:
        ConfigError: the encoder cannot be had, and the stage needs it.
    """
    try:
        card = describe(Spec.of(config))
    except ConfigError:
        finished = as_finished(stage, [config.encoder], redo)
        if finished is None:
            raise
        return None, {key: finished[key] for key in ("encoder", "weights_hash")}
    return card, {"encoder": card.name, "weights_hash": card.identity}


def plan(config: Config, upstream: Mapping[str, Estimate]) -> Estimate:
    """What embedding the pool costs: device-hours from the FLOPs that the encoder's card tells.

    Raises:
        ConfigError: the encoder's shape cannot be had.
    """
    rows, card = upstream["source"].rows, outline(Spec.of(config.embed))
    flops = card.image_flops(card.pixels.size**2)
    gpu = price.on_gpu(flops, config.runtime, config.embed.precision.value)
    device, hours = price.device_hours(rows * flops, price.EMBED, gpu=gpu)
    return Estimate(
        stage="embed",
        shards=-(-rows // config.source.rows_per_shard),
        rows=rows,
        bytes=rows * (2 * card.dim + price.EMBEDDED_ROW),
        device=device,
        device_hours=hours,
        note=f"{config.embed.encoder}, {short(card.parameters, '')} weights, {short(flops, 'FLOP')} an image of "
        f"{card.pixels.size} x {card.pixels.size} pixels" + price.unsaid([card]),
        dim=card.dim,
    )


def _records(work: EmbedWork, shards: Sequence[Shard]) -> Iterator[dict[str, Any]]:
    """Embed and commit the shards; their commit records, in the order in which they end."""
    make = partial(ShardEncoder, work)
    return records(shards, ShardDecoder(work), make, work.config.runtime, memory=_memory(work) if shards else 0)


def _memory(work: EmbedWork) -> int:
    """Bytes that decoding a shard may need: the pixels of the longest one, and the pool's largest image."""
    source, size = work.run.stage("source"), work.card.pixels.size
    rows = max((s["rows"] for s in source.shards("part")), default=0)
    largest = source.require().facts["largest"]
    return 2 * rows * size * size * 3 + 2 * largest["bytes"] + DECODED_PIXEL * largest["pixels"]


class ShardDecoder:
    """Reads a source shard and decodes its images to the pixels that the encoder wants."""

    def __init__(self, work: EmbedWork) -> None:
        self._source, self._settings = work.run.stage("source"), work.config.source
        self._preprocess = work.card.pixels

    def decoded(self, shard: Shard) -> Decoded:
        """The shard's pixels as one buffer, uint8 [N, S, S, 3], and what belongs to them."""
        began = time.monotonic()
        name = shard["name"]
        size, source = self._preprocess.size, self._source
        pixels = io.BytesIO()
        ids: list[str] = []
        rows: list[int] = []
        where: list[dict[str, str]] = []
        rejects: list[dict[str, Any]] = []
        with source.files.parquet(f"{name}.parquet") as file:
            every = np.arange(file.metadata.num_rows)
        for row, image in image_rows(source, name, np.setdiff1d(every, duplicate_rows(source, name))):
            here = {"source_uri": image["source_uri"], "source_key": image["source_key"]}
            try:
                picture = decode(
                    image["bytes"],
                    max_pixels=self._settings.max_pixels,
                    max_bytes=self._settings.max_bytes,
                    draft=size,
                )
            except BadImage as e:
                rejects.append({**here, "reason": e.reason, "error": str(e), "images": 1})
                continue
            pixels.write(self._preprocess(picture).tobytes())
            ids.append(image["image_id"])
            rows.append(row)
            where.append(here)
        meta = {"shard": name, "image_id": ids, "row": rows, "where": where, "rejects": rejects}
        meta["seconds"] = time.monotonic() - began
        return {"meta": meta, "pixels": pixels.getbuffer()}


class ShardEncoder:
    """Holds the encoder, turns one shard's pixels into embeddings, and commits them."""

    def __init__(self, work: EmbedWork) -> None:
        self._work = work
        self._fault: SiglinoError | None = None
        device, config = choose(work.config.runtime.device).device, work.config.embed
        if device == "cpu":
            single_thread()
        try:
            self._encoder = _encoder(config, device, work.card)
        except SiglinoError as e:  # said with the first shard: out of a constructor Ray would wrap it
            self._fault = e
            return
        self._batch = config.batch_size or self._encoder.device.batch_size

    def commit(self, decoded: Decoded) -> dict[str, Any]:
        """Embed and commit a shard; returns its commit record."""
        if self._fault is not None:
            raise self._fault
        meta = decoded["meta"]
        shard, size = meta["shard"], self._work.card.pixels.size
        writer = self._work.writer(shard, worked=meta["seconds"])
        pixels = np.frombuffer(decoded["pixels"], np.uint8).reshape(-1, size, size, 3)
        vectors = _encoded(self._encoder, pixels, self._batch)
        stored = vectors.astype(np.float16)
        finite = np.isfinite(stored).all(1)
        _check_lengths(stored[finite], self._work.card)
        rejects = meta["rejects"]
        for i in np.flatnonzero(~finite):
            error = f"the embedding of image {meta['image_id'][i]} is not finite"
            rejects.append({**meta["where"][i], "reason": "not_finite", "error": error, "images": 1})
        table = pa.table(
            {
                "image_id": pa.array(meta["image_id"], pa.string()).filter(pa.array(finite)),
                "row": pa.array(meta["row"], pa.int32()).filter(pa.array(finite)),
                "embedding": to_column(stored[finite]),
            }
        )
        counts: dict[str, int] = {}
        for reject in rejects:
            counts[reject["reason"]] = counts.get(reject["reason"], 0) + 1
        with writer as out:
            out.write(f"{shard}.parquet", table, schema.embed(self._work.card.dim), row_group_size=16384)
            out.write(f"rejects/{shard}.parquet", pa.Table.from_pylist(rejects, schema.REJECTS), schema.REJECTS)
            return out.commit(rows=table.num_rows, rejects=counts)


def _encoder(config: EmbedConfig, device: str, card: Card) -> Embeds:
    """The encoder, if it is on this machine the one that the run began with."""
    encoder = load_encoder(Spec.of(config), device, config.precision.value)
    if encoder.card != card:
        raise DataError(
            f"embed.encoder={config.encoder}: the weights on {platform.node()} are not those that the run began "
            f"with ({encoder.card.identity[:12]}, not {card.identity[:12]}). Give every node the same."
        )
    return encoder


def _encoded(encoder: Embeds, pixels: np.ndarray, batch: int) -> np.ndarray:
    with memory_reused():
        parts = [encoder.encode(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
    return np.concatenate(parts) if parts else np.empty((0, encoder.card.dim), np.float32)


def _check_lengths(stored: np.ndarray, card: Card) -> None:
    """Refuse vectors that are not of unit length as they are stored: distances to them would mean something else."""
    lengths = np.linalg.norm(stored.astype(np.float32), axis=1)
    off = np.abs(lengths - 1) > LENGTH_TOLERANCE
    if off.any():
        raise DataError(
            f"embed.encoder={card.name}: {off.sum()} of {len(lengths)} embeddings of a shard are not of unit length "
            f"(one is {lengths[off][0]:.4g}). An encoder must return vectors of length 1."
        )


def _too_many(rows: int, rejects: dict[str, int], limit: float) -> None:
    bad = sum(rejects.values())
    if rows and bad <= limit * (rows + bad):
        return
    counts = ", ".join(f"{reason} {count}" for reason, count in rejects.items())
    limits = f", more than embed.max_reject_share={limit:g}" if rows else ""
    nan = "not_finite" in rejects
    why = " Where not_finite, the encoder answers NaN or infinity: its weights may be damaged." if nan else ""
    raise DataError(f"embed: {bad} of {rows + bad} images cannot be used{limits} ({counts}).{why} See embed/rejects.")
