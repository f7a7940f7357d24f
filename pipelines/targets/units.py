"""Units of work: moments of some images, statistics of all of them, targets of a training shard.

Legend: N patches of all images of a pack, C a teacher's width.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from pipelines.support.work import Work
from siglino_core import schema
from siglino_core.config import Stored, TargetsConfig
from siglino_core.device import choose, memory_reused, single_thread
from siglino_core.distillation.targets.checked import checked_targets, to_half
from siglino_core.distillation.targets.codec import DENSE, Codec
from siglino_core.distillation.targets.measures import ErrorMeter
from siglino_core.distillation.targets.packs import Pack, packs, read_index
from siglino_core.distillation.targets.statistics import Statistics, TeacherMoments, pack, unpack
from siglino_core.encoders.card import Card
from siglino_core.errors import ConfigError, DataError
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.models.resolution import Resolution
from siglino_core.networks import load_teacher, same_teacher
from siglino_core.store import Shard, ShardWriter
from siglino_core.store.locate import locate
from siglino_core.store.vectors import to_column
from siglino_core.teachers.teacher import Targets, Teacher

ROW_GROUP = 64  # images a row group: 38 MB of bf16 patches at 256 patches of 1152
THREADS = 16  # that decode beside a GPU, at most


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetsWork(Work):
    """What every unit of this stage knows.

    Attributes:
        dtype: of the teachers, as the run's first process chose it.
        cards: the teachers', in the config's order.
    """

    dtype: str
    cards: tuple[Card, ...]

    @property
    def settings(self) -> TargetsConfig:
        """The stage's own."""
        return self.config.targets

    @property
    def resolution(self) -> Resolution:
        bounds = {"min_pixels": self.settings.min_pixels, "max_pixels": self.settings.max_pixels}
        return Resolution(patch_size=self.cards[0].patch_size, **bounds)


@memory_reused()
def moments(work: TargetsWork, unit: Shard) -> dict[str, Any]:
    """Means and covariances of each teacher's outputs, over some images of a few shards."""
    writer = work.writer(unit["name"])
    device = _device(work)
    summed = [TeacherMoments(card, device if device.startswith("cuda") else "cpu") for card in work.cards]
    rows = 0
    for shard in unit["shards"]:
        for images in _packs(work, shard, device, _keyed(work, shard)):
            for targets, into in zip(_told(work, images, device), summed, strict=True):
                into.update(targets)
            rows += len(images.ids)
    with writer as out:
        out.put(_state(unit), pack({m.teacher: m.tensors() for m in summed}))
        return out.commit(rows=rows)


def statistics(work: TargetsWork, parts: Sequence[Shard], unit: Shard) -> dict[str, Any]:
    """The moments merged, in order, to standardisations; and the pooling heads, which students copy.

    Heads are written in fp32, as the checkpoint holds them, whatever the teachers compute in.
    """
    single_thread()  # a decomposition's last bits depend on how many
    stage = work.stage
    writer = work.writer(unit["name"])
    summed = [TeacherMoments(card) for card in work.cards]
    for part in parts:
        states = unpack(stage.files.read(_state(part)), f"{stage.files.url}/{_state(part)}", depth=1)
        for m in summed:
            m.merge(states[m.teacher])
    fitted = {m.teacher: m.fit(work.config.seed) for m in summed}
    images = summed[0].by_kind["summary"].count
    facts = {
        "images": images,
        "teachers": {name: _described(s) for name, s in fitted.items()},
        "warnings": [w for m in summed for w in m.warnings()],
    }
    heads: dict[str, dict[str, Tensor]] = {}
    for spec, card in zip(work.settings.teachers, work.cards, strict=True):
        if card.pooled:
            heads[card.name] = _head(same_teacher(_teacher(spec, "cpu", "float32"), card))
    with writer as out:
        out.put("statistics.safetensors", Statistics.save(fitted))
        out.put("heads.safetensors", pack(heads))
        return out.commit(rows=images if work.settings.keep is Stored.ONLINE else 0, facts=facts)


@memory_reused()
def part(work: TargetsWork, unit: Shard) -> dict[str, Any]:
    """The targets of a training shard, row by row, and where each lies in the file."""
    keep = work.settings.keep
    writer = work.writer(unit["name"])
    device = _device(work)
    target = _Shard(work, unit["measured"], device)
    name, wanted = f"{unit['name']}.parquet", schema.targets(work.cards, keep.value)
    columns = schema.targets_columns(work.cards, keep.value)
    with writer as out:
        with out.parquet(name, wanted, plain=columns) as file:
            for images in _packs(work, unit, device):
                for card, targets in zip(work.cards, _told(work, images, device), strict=True):
                    target.add(card, targets, images)
                target.add_images(images)
                if len(target) >= ROW_GROUP:
                    file.write_table(target.table(wanted))
            file.write_table(target.table(wanted))
        rows = _index(out, unit["name"], columns)
        return out.commit(rows=rows, facts={"errors": target.errors()})


class _Shard:
    """The columns of a row group to come, and codecs' errors over the shard's first images."""

    def __init__(self, work: TargetsWork, measured: int, device: str) -> None:
        self._keep, self._left = work.settings.keep, measured
        self._columns: dict[str, list[Any]] = {n: [] for n in schema.targets(work.cards, self._keep.value).names}
        self._meters = {card.name: ErrorMeter() for card in work.cards if card.patches and measured}
        self._codecs: dict[str, tuple[Codec, Codec]] = {}
        if self._keep in DENSE:
            fitted = _fitted(work)
            self._codecs = {
                card.name: (
                    Codec(self._keep, card.dim, fitted[card.name].patch, device),
                    Codec(Stored.BF16, card.dim, device=device),
                )
                for card in work.cards
                if card.patches
            }

    def __len__(self) -> int:
        return len(self._columns["image_id"])

    def add(self, card: Card, targets: Targets, images: Pack) -> None:
        """A teacher's targets for a pack."""
        self._columns[f"{card.name}_summary"].extend(to_half(card, "summary", targets.summaries, images.ids))
        if self._keep not in DENSE:
            return
        if targets.registers is not None:
            registers = to_half(card, "registers", targets.registers, images.ids)
            self._columns[f"{card.name}_registers"].extend(registers.flatten(1))
        if targets.patches is not None:
            self._columns[f"{card.name}_patches"].extend(self._encoded(card, targets.patches, images))

    def add_images(self, images: Pack) -> None:
        """The pack itself, once all teachers' targets are in."""
        self._columns["image_id"].extend(images.ids)
        for i, side in enumerate(("height", "width")):
            self._columns[side].extend(shape[i] for shape in images.shapes)
        self._left -= len(images.ids)

    def table(self, wanted: pa.Schema) -> pa.Table:
        """What was added since the last one."""
        made: dict[str, Any] = {}
        for field in wanted:
            values = self._columns[field.name]
            self._columns[field.name] = []
            if pa.types.is_fixed_size_list(field.type):
                empty = np.empty((0, field.type.list_size), np.float16)
                made[field.name] = to_column(torch.stack(values).numpy() if values else empty)
            else:
                made[field.name] = pa.array(values, field.type)
        return pa.table(made).cast(wanted)

    def errors(self) -> dict[str, list[float]]:
        """Each teacher's codec errors, and of how many images."""
        return {name: list(meter.result()) for name, meter in self._meters.items()}

    def _encoded(self, card: Card, x_NC: Tensor, images: Pack) -> list[bytes]:
        codec, reference = self._codecs[card.name]
        counts = [h * w for h, w in images.shapes]
        try:
            stored = codec.encode(x_NC, counts)
        except ValueError:
            for image_id, one in zip(images.ids, x_NC.split(counts), strict=True):
                try:
                    codec.encode(one)
                except ValueError as e:
                    raise DataError(f"teacher {card.name}: its patches for image {image_id}: {e}") from e
            raise
        for data, one in list(zip(stored, x_NC.split(counts), strict=True))[: max(0, self._left)]:
            self._meters[card.name].update(reference.dequantise(reference.quantise(one)), codec.decode([data]))
        return stored


def _index(out: ShardWriter, shard: str, columns: Sequence[str]) -> int:
    """Write the byte ranges of every target; returns the number of rows."""
    path, wanted = out.written(f"{shard}.parquet"), schema.targets_index(columns)
    with pq.ParquetFile(path) as file:
        table = file.read(columns=["image_id", "height", "width"])
    for name in columns:
        offset_N, length_N = locate(path, name)
        table = table.append_column(f"{name}_offset", pa.array(offset_N))
        table = table.append_column(f"{name}_length", pa.array(length_N.astype(np.int32)))
    out.write(f"index/{shard}.parquet", table.select(wanted.names), wanted)
    return table.num_rows


def _keyed(work: TargetsWork, shard: Shard) -> np.ndarray:
    """The rows of a shard that statistics are taken over: the first of a keyed order, sorted."""
    ids = read_index(work.run.stage("sample"), shard["name"])["image_id"].to_pylist()
    order = np.argsort(uniform(key_of(work.config.seed, "statistics"), id_bits(ids)), kind="stable")
    return np.sort(order[: shard["rows"]])


def _packs(work: TargetsWork, shard: Shard, device: str, rows: np.ndarray | None = None) -> Iterator[Pack]:
    return packs(
        work.run.stage("sample"),
        shard["name"],
        shard["images"],
        resolution=work.resolution,
        capacity=work.settings.capacity,
        rows=rows,
        threads=0 if device == "cpu" else min(THREADS, os.cpu_count() or 1),
    )


def _told(work: TargetsWork, images: Pack, device: str) -> Iterator[Targets]:
    """Each teacher's targets for a pack, in turn."""
    for spec, card in zip(work.settings.teachers, work.cards, strict=True):
        teacher = same_teacher(_teacher(spec, device, work.dtype), card)
        yield checked_targets(teacher, images.patches_NV, images.shapes, images.ids, device)


def _device(work: TargetsWork) -> str:
    device = choose(work.config.runtime.device).device
    if device == "cpu":
        single_thread()
    return device


@lru_cache(maxsize=8)
def _teacher(spec: str, device: str, dtype: str) -> Teacher:
    """A teacher is loaded once by a worker, and not once a shard."""
    return load_teacher(spec, device, getattr(torch, dtype))


@lru_cache(maxsize=1)
def _fitted(work: Work) -> dict[str, Statistics]:
    """The statistics: a worker makes many shards with the same ones and reads them once."""
    files = work.stage.files
    return Statistics.load(files.read("statistics.safetensors"), f"{files.url}/statistics.safetensors")


def _head(teacher: Teacher) -> dict[str, Tensor]:
    head = getattr(teacher, "head", None)
    if not isinstance(head, torch.nn.Module):
        raise ConfigError(
            f"teacher {teacher.card.name}: its card says that it pools (pooled=True), and it has no `head`, the module "
            "that does and that students copy"
        )
    return dict(head.state_dict())


def _described(statistics: Statistics) -> dict[str, Any]:
    phis = {"summary": statistics.summary} | ({} if statistics.patch is None else {"patch": statistics.patch})
    return {"phi": {k: p.phi for k, p in phis.items()}, "rotation": {k: p.kind for k, p in phis.items()}}


def _state(unit: Shard) -> str:
    return f"state/{unit['name']}.safetensors"
