"""The plan: which images meet in which pack of which step, whatever the number of ranks, from any step on.

Legend: N images, P packs, S steps of a window, V packs of a step (virtual shards).
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from siglino_core.config import PackConfig
from siglino_core.distillation.packing.block import Block, make_block, mean_tokens
from siglino_core.distillation.packing.cost import Cost, default_max_images
from siglino_core.distillation.packing.match import deal
from siglino_core.distillation.packing.mixture import Mixture
from siglino_core.errors import DataError
from siglino_core.hashing import fingerprint, key_of


@dataclass(frozen=True, eq=False, kw_only=True)
class Pack:
    """Images that share a sequence.

    Attributes:
        epoch: from which all its images come.
        parts_N: uint8 [N], the number of each image's part of the mixture.
        rows_N: int64 [N], its row in the curated set.
        grids_N2: uint16 [N, 2], its (height, width) in patches.
        tokens: of all images, prefixes included.
    """

    epoch: int
    parts_N: np.ndarray
    rows_N: np.ndarray
    grids_N2: np.ndarray
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """Where a step's window begins: a block, counted over all epochs, and the packs of all blocks before it.

    Only a saving of time (see `Plan`). ``fingerprint`` is the plan's.
    """

    block: int
    packs: int
    fingerprint: str


@dataclass(frozen=True, eq=False)
class _Window:
    """Some packs, taken from one or more blocks, and their steps."""

    part_N: np.ndarray
    index_N: np.ndarray
    epoch_P: np.ndarray
    start_P: np.ndarray
    size_P: np.ndarray
    tokens_P: np.ndarray
    cost_P: np.ndarray
    pack_SV: np.ndarray


class Plan:
    """The packs of every global step.

    An epoch's images come in a keyed order and are cut into *blocks* of up to ``config.block`` images. A block is
    packed on its own, to its last image, and its packs are shuffled: they are a pure function of (seed, epoch,
    block). All blocks of all epochs, one after another, make one endless row of packs. A *window* is the next
    ``window * packs_per_step`` of them, matched by cost; pack i of the row is of virtual shard i mod packs_per_step,
    unless `Match.GLOBAL` moves it. So an epoch may end within a window or a step: its last packs are followed by the
    next epoch's, and every image is in one pack of its epoch. A rank takes the virtual shards v with v mod world =
    rank: the number of ranks changes who holds a pack, never which packs make a step.

    **Resume.** The state is the step. How many packs lie before it is known once the blocks before it are packed:
    about 800,000 images a second on one core, so 200M images cost four to five minutes, once, from the grids alone; no
    image is read. `cursor` names the block with two integers: given back as ``cursor``, only the blocks of the
    step's own window are packed, one or two, in 2 to 3 seconds.

    **Memory** at 200M images: the parts' grids, 800 MB (4 bytes an image, shared by processes if memory-mapped); the
    order needs none, since it is computed; a block in work, about 100 MB. Rows of a part cost 4 or 8 bytes an image.

    Args:
        mixture: the images.
        config: the settings.
        cost: of an image; e.g. `Cost.of` the student.
        prefix: tokens of an image beside its patches.
        cursor: from an equal plan's `cursor`.

    Raises:
        DataError: an image has more tokens than a pack holds, or none; or ``cursor`` is another plan's.
    """

    def __init__(
        self, mixture: Mixture, config: PackConfig, cost: Cost, *, prefix: int = 5, cursor: Cursor | None = None
    ) -> None:
        self.mixture, self.config, self.cost, self.prefix = mixture, config, cost, prefix
        mean = mean_tokens(mixture, config.capacity, prefix)
        self.max_images = config.max_images or default_max_images(config.capacity, mean)
        if cursor is not None and cursor.fingerprint != self.fingerprint:
            raise DataError(
                f"the cursor is of another plan ({cursor.fingerprint[:8]}, this is {self.fingerprint[:8]}): "
                "resume with the same images and packing settings, or without the cursor"
            )
        self._first = cursor.block if cursor else 0
        self._ends = [cursor.packs if cursor else 0]  # packs before block `_first`, and then through each one after it
        self._block: tuple[int, Block] | None = None
        self._window: tuple[int, _Window] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that decides which images meet in a pack: seconds for 200M images."""
        c = self.config
        return fingerprint([self.mixture.fingerprint, c.capacity, self.max_images, self.prefix, c.look_ahead, c.block])

    def packs_for(self, step: int, rank: int = 0, world: int = 1) -> tuple[Pack, ...]:
        """A rank's packs of a global step: of virtual shards rank, rank + world, ...

        Raises:
            ValueError: ``world`` does not divide ``packs_per_step``: then ranks would hold different numbers of packs,
                and a sharded step would wait for, or hang on, the ones with more. Or a rank or step out of range.
        """
        self._require_ranks(rank, world)
        window, row = self._window_of(step)
        return tuple(self._pack(window, int(p)) for p in window.pack_SV[row, rank::world])

    def cursor(self, step: int) -> Cursor:
        """Where this step's window begins, to resume without packing the blocks before it."""
        window = self._number(step) // self.config.window
        block = self._block_with(window * self.config.window * self.config.packs_per_step)
        return Cursor(block=block, packs=self._ends[block - self._first], fingerprint=self.fingerprint)

    def sums(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each pack of a step, by virtual shard: tokens int64 [V], cost float64 [V], images int64 [V]."""
        window, row = self._window_of(step)
        pack_V = window.pack_SV[row]
        return window.tokens_P[pack_V], window.cost_P[pack_V], window.size_P[pack_V]

    def _require_ranks(self, rank: int, world: int) -> None:
        packs = self.config.packs_per_step
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} of {world}: 0 to {world - 1}")
        if world > packs or packs % world:
            fits = ", ".join(str(w) for w in range(1, packs + 1) if packs % w == 0)
            raise ValueError(f"packs_per_step={packs} over {world} ranks: every rank holds as many; {fits} ranks do")

    def _number(self, step: int) -> int:
        if step < 0:
            raise ValueError(f"step {step}: at least 0")
        return step

    def _pack(self, window: _Window, number: int) -> Pack:
        images = slice(window.start_P[number], window.start_P[number] + window.size_P[number])
        part_N, index_N = window.part_N[images], window.index_N[images]
        grid_N2, row_N = np.empty((len(part_N), 2), np.uint16), np.empty(len(part_N), np.int64)
        for part in np.unique(part_N):
            chosen_N, source = part_N == part, self.mixture.parts[part]
            grid_N2[chosen_N], row_N[chosen_N] = source.grids_N2[index_N[chosen_N]], source.rows(index_N[chosen_N])
        return Pack(
            epoch=int(window.epoch_P[number]),
            parts_N=part_N,
            rows_N=row_N,
            grids_N2=grid_N2,
            tokens=int(window.tokens_P[number]),
        )

    def _window_of(self, step: int) -> tuple[_Window, int]:
        number, row = divmod(self._number(step), self.config.window)
        if self._window is None or self._window[0] != number:
            self._window = number, self._make_window(number)
        return self._window[1], row

    def _make_window(self, number: int) -> _Window:
        steps, packs = self.config.window, self.config.packs_per_step
        first, last = number * steps * packs, (number + 1) * steps * packs
        block = self._block_with(first)
        pieces: list[tuple[Block, slice]] = []
        while True:
            packed = self._get(block)
            before = self._ends[block - self._first]
            pieces.append((packed, slice(max(first - before, 0), min(last - before, len(packed.start_P)))))
            if self._ends[block - self._first + 1] >= last:
                break
            block += 1
        size_P = np.concatenate([c.size_P[s] for c, s in pieces])
        tokens_P = np.concatenate([c.tokens_P[s] for c, s in pieces])
        cost_P = self.cost(tokens_P, np.concatenate([c.squares_P[s] for c, s in pieces]))
        images = [slice(c.start_P[s][0], c.start_P[s][-1] + c.size_P[s][-1]) for c, s in pieces]
        return _Window(
            part_N=np.concatenate([c.part_N[i] for (c, _), i in zip(pieces, images, strict=True)]),
            index_N=np.concatenate([c.index_N[i] for (c, _), i in zip(pieces, images, strict=True)]),
            epoch_P=np.concatenate([np.full(len(c.size_P[s]), c.epoch) for c, s in pieces]),
            start_P=np.cumsum(size_P) - size_P,
            size_P=size_P,
            tokens_P=tokens_P,
            cost_P=cost_P,
            pack_SV=deal(cost_P.reshape(steps, packs), self.config.match, key_of(self.mixture.seed, "window", number)),
        )

    def _block_with(self, pack: int) -> int:
        """The block of a pack of the endless row; those before it are packed, if they never were."""
        if pack < self._ends[0]:
            self._first, self._ends = 0, [0]
        while self._ends[-1] <= pack:
            self._get(self._first + len(self._ends) - 1)
        return self._first + bisect_right(self._ends, pack) - 1

    def _get(self, number: int) -> Block:
        """A block; the last one is kept, and the row of packs goes on with it if it comes next."""
        if self._block is None or self._block[0] != number:
            self._block = number, make_block(self.mixture, self.config, self.max_images, self.prefix, number)
        block = self._block[1]
        if number == self._first + len(self._ends) - 1:
            self._ends.append(self._ends[-1] + len(block.start_P))
        return block
