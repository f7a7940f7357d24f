"""Stored targets for training: some images' summaries, patches and registers, by ranges of single images.

Legend: B images, N patches of all of them, R registers, C the teacher's width, S training shards.
"""

import dataclasses
import io
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from siglino_core import schema
from siglino_core.config.distill import Stored
from siglino_core.distillation.curated.index import ImageIndex
from siglino_core.distillation.targets.codec import DENSE, Codec, Quantised
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.encoders.card import Card
from siglino_core.errors import ConfigError, DataError, StoreError, UnreachableStoreError
from siglino_core.models.resolution import Resolution
from siglino_core.store import Manifest, Ranges, Stage
from siglino_core.teachers.teacher import Targets

MOST_ROWS = 4 << 20  # whose byte ranges are kept in memory: 12 bytes a row and column

Piece = dict[str, tuple[np.ndarray, np.ndarray]]  # a shard's offsets and lengths, by column


class Fetched(NamedTuple):
    """One teacher's targets as they are stored: a quarter to a half of the bytes that they decode to."""

    summaries_BC: Tensor  # fp16
    patches: Quantised | None
    registers_BRC: Tensor | None  # fp16


class StoredTargets:
    """A finished targets stage, row by row of the image index.

    What it holds in memory are the byte ranges of up to four million rows, read shard by shard when first asked for. It
    may be pickled; each process then has its own.
    """

    def __init__(self, stage: Stage, index: ImageIndex, keep: Stored, cards: Sequence[Card]) -> None:
        self.cards = {card.name: card for card in cards}
        self._index, self._ranges, self._keep = index, Ranges(stage.files), keep
        self._stored = schema.targets_columns(cards, keep.value)
        self._start_S = np.searchsorted(index.shard_N, np.arange(len(index.shards) + 1))
        self._pieces: OrderedDict[int, Piece] = OrderedDict()
        self._held = 0
        self._codecs: dict[str, Codec] = {}
        if keep in DENSE:
            where = f"{stage.files.url}/statistics.safetensors"
            fitted = Statistics.load(stage.files.read("statistics.safetensors"), where)
            self._codecs = {c.name: Codec(keep, c.dim, fitted[c.name].patch) for c in cards if c.patches}

    @classmethod
    def open(
        cls,
        stage: Stage,
        index: ImageIndex,
        *,
        sample_digest: str,
        cards: Sequence[Card],
        resolution: Resolution,
    ) -> "StoredTargets":
        """The targets of a run, after checking that they are its own.

        Args:
            index: of the run's sample.
            sample_digest: of the sample's manifest.
            cards: of the teachers that are asked for; others may be stored beside them.
            resolution: at which the student sees the images.

        Raises:
            StoreError: the stage is not finished.
            DataError: they are of another sample.
            ConfigError: they are of another teacher or grid, or nothing but statistics was kept.
        """
        manifest = stage.require()
        url, mend = stage.files.url, f"Run again with --redo {stage.name}, or with the settings that made them."
        keep = Stored(manifest.facts["keep"])
        if keep is Stored.ONLINE:
            raise ConfigError(f"{url}: targets.keep=online stored no targets. {mend}")
        sample = manifest.identity["inputs"]["sample"]
        if sample != sample_digest:
            raise DataError(
                f"{url} is of another sample (digest {sample[:12]}, not {sample_digest[:12]}). Run again with --redo "
                f"{stage.name}."
            )
        if manifest.rows != len(index):
            raise DataError(
                f"{url} holds {manifest.rows:,} images and the sample's index {len(index):,}. Run again with --redo "
                f"{stage.name}."
            )
        _same_grid(manifest, resolution, url, mend)
        return cls(stage, index, keep, [_same_card(manifest, card, url, mend) for card in cards])

    def read(self, rows: Sequence[int] | np.ndarray) -> dict[str, Targets]:
        """Each teacher's targets for some rows of the index, in their order: fp32, in the teacher's own space.

        Raises:
            StoreError: a shard is gone or cut short, or storage cannot be reached.
            DataError: a shard is not of the index's images.
        """
        return self.decode(self.fetch(rows))

    def fetch(self, rows: Sequence[int] | np.ndarray) -> dict[str, Fetched]:
        """The first half of :meth:`read`: all that touches storage. The other half may run elsewhere, on a GPU."""
        places = [(int(self._index.shard_N[row]), int(row)) for row in rows]
        pieces = self._pieces_of(dict.fromkeys(shard for shard, _ in places))
        requests: list[tuple[str, int, int]] = []
        for name in self._stored:
            for shard, row in places:
                offset_N, length_N = pieces[shard][name]
                at = row - int(self._start_S[shard])
                requests.append((f"{self._name(shard)}.parquet", int(offset_N[at]), int(length_N[at])))
        contents = self._ranges.read(requests)
        by_column = {n: contents[i * len(places) : (i + 1) * len(places)] for i, n in enumerate(self._stored)}
        return {name: self._fetched(card, by_column) for name, card in self.cards.items()}

    def decode(self, fetched: dict[str, Fetched], device: str | torch.device = "cpu") -> dict[str, Targets]:
        """The second half of :meth:`read`, on ``device``."""
        decoded: dict[str, Targets] = {}
        for name, stored in fetched.items():
            patches = None if stored.patches is None else self._codecs[name].on(device).dequantise(stored.patches)
            registers = None if stored.registers_BRC is None else stored.registers_BRC.to(device).float()
            decoded[name] = Targets(stored.summaries_BC.to(device).float(), patches, registers)
        return decoded

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pieces": OrderedDict(), "_held": 0}

    def _fetched(self, card: Card, columns: dict[str, list[bytes]]) -> Fetched:
        summaries_BC = _halves(columns[f"{card.name}_summary"], card.dim)
        patches = columns.get(f"{card.name}_patches")
        registers = columns.get(f"{card.name}_registers")
        return Fetched(
            summaries_BC,
            None if patches is None else self._codecs[card.name].unpack(patches),
            None if registers is None else _halves(registers, card.registers * card.dim).unflatten(1, (-1, card.dim)),
        )

    def _name(self, shard: int) -> str:
        return self._index.shards[shard].removeprefix("images/").rpartition(".")[0]

    def _pieces_of(self, shards: Sequence[int] | dict[int, None]) -> dict[int, Piece]:
        """Some shards' byte ranges; those not in memory are read at once."""
        missing = [s for s in shards if s not in self._pieces]
        names = {s: f"index/{self._name(s)}.parquet" for s in missing}
        try:
            contents = self._ranges.files.read_many(list(names.values()))
        except UnreachableStoreError:
            raise
        except StoreError as e:
            raise StoreError(f"{e}. Restore it, or run the targets stage again: only its shard is redone.") from e
        for shard in missing:
            self._pieces[shard] = self._piece(shard, names[shard], contents[names[shard]])
            self._held += self._rows(shard)
        pieces = {s: self._pieces[s] for s in shards}
        for shard in shards:
            self._pieces.move_to_end(shard)
        while self._held > MOST_ROWS and len(self._pieces) > 1:
            self._held -= self._rows(self._pieces.popitem(last=False)[0])
        return pieces

    def _piece(self, shard: int, name: str, data: bytes) -> Piece:
        where = f"{self._ranges.files.url}/{name}"
        wanted = schema.targets_index(self._stored)
        table = schema.check(pq.ParquetFile(io.BytesIO(data)).read(columns=wanted.names), wanted, where)
        ids_N16 = self._index.ids_N16[self._start_S[shard] : self._start_S[shard + 1]]
        if bytes.fromhex("".join(table["image_id"].to_pylist())) != ids_N16.tobytes():
            raise DataError(
                f"{where} is not of the images of {self._index.shards[shard]}. Delete it, then run the "
                "targets stage again: only its shard is redone."
            )
        return {n: (table[f"{n}_offset"].to_numpy(), table[f"{n}_length"].to_numpy()) for n in self._stored}

    def _rows(self, shard: int) -> int:
        return int(self._start_S[shard + 1] - self._start_S[shard])


def _same_grid(manifest: Manifest, resolution: Resolution, url: str, mend: str) -> None:
    config = manifest.identity["config"]
    made = {"patch_size": config["teachers"][0]["patch_size"]} | {k: config[k] for k in ("min_pixels", "max_pixels")}
    asked = dataclasses.asdict(resolution)
    if other := [f"{k}: {made[k]} there, {asked[k]} here" for k in made if made[k] != asked[k]]:
        raise ConfigError(f"{url} is of other grids ({'; '.join(other)}). {mend}")


def _same_card(manifest: Manifest, card: Card, url: str, mend: str) -> Card:
    stored = manifest.facts["teachers"]
    if card.name not in stored:
        raise ConfigError(f"{url} has no targets of teacher {card.name}; it has {', '.join(stored)}. {mend}")
    theirs = Card.read(stored[card.name]["card"])
    if theirs.identity != card.identity:
        raise ConfigError(
            f"{url} is of another teacher {card.name} (weights {theirs.identity[:12]}, not {card.identity[:12]}). "
            f"{mend}"
        )
    return theirs


def _halves(values: list[bytes], columns: int) -> Tensor:
    return torch.from_numpy(np.frombuffer(b"".join(values), "<f2").reshape(-1, columns).astype(np.float16))
