"""The plan: which images meet in which pack of which step, whatever the number of ranks, from any step on.

Legend: N images, P packs, V packs of a step.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from siglino_core.config import PackConfig
from siglino_core.distillation.packing.block import Block, least_mean_tokens, make_block
from siglino_core.distillation.packing.cost import Cost, default_max_images
from siglino_core.distillation.packing.match import deal
from siglino_core.distillation.packing.mixture import Mixture
from siglino_core.errors import DataError
from siglino_core.hashing import fingerprint


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
    """Where a step begins: its block, counted over all epochs, and the packs of all blocks before it.

    Only a saving of time (see `Plan`). ``fingerprint`` is the plan's.
    """

    block: int
    packs: int
    fingerprint: str


@dataclass(frozen=True, eq=False)
class _Step:
    """A step's images, in the order of their packs, and its packs as they come in the row; then as they are dealt."""

    part_N: np.ndarray
    index_N: np.ndarray
    epoch_V: np.ndarray
    start_V: np.ndarray
    size_V: np.ndarray
    tokens_V: np.ndarray
    cost_V: np.ndarray
    dealt_V: np.ndarray


Sums = tuple[np.ndarray, np.ndarray, np.ndarray]
REMEMBERED = 1 << 18  # packs whose sums are kept: 6 MB


class Plan:
    """The packs of every global step.

    An epoch's images come in a keyed order and are cut into *blocks* of up to ``config.block`` images. A block is
    packed on its own, to its last image, and its packs are interleaved: they and their order are a pure function of
    (seed, epoch, block). All blocks of all epochs, one after another, make one endless row of packs, and a step is the
    next ``packs_per_step`` of them. So an epoch may end within a step: its last packs are followed by the next
    epoch's, and every image is in one pack of its epoch.

    **What is in a step.** Any run of packs of a block has nearly its share of every part (`match.interleave`), and so
    has every step: one step's images are the mixture's. The number of images differs little from step to step, and
    hardly with what they are; so dividing by the step's own number, as training does, gives an image the same expected
    weight whatever its part. To first order two parts' weights differ by the covariances of a step's number of images
    with the parts', each over the product of their means: at 416 packs a step some ten-thousandths, at 13 a percent.

    **Who holds what.** A step's packs are sorted by cost (`match.deal`), and rank r takes packs r, r + world, ... of
    them: in a pass ranks that wait for one another have neighbours, and all run as many passes. The number of ranks
    changes who holds a pack, never which packs make a step nor their order.

    **Resume.** The state is the step. How many packs lie before it is known once the blocks before it are packed:
    about 800,000 images a second on one core, so 200M images cost four to five minutes, once, from the grids alone; no
    image is read. `cursor` names the block with two integers: given back as ``cursor``, only the blocks of the
    step itself are packed, one or two, in 2 to 3 seconds.

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
        mean = least_mean_tokens(mixture, config.capacity, prefix)
        self.max_images = config.max_images or default_max_images(config.capacity, mean)
        if cursor is not None and cursor.fingerprint != self.fingerprint:
            raise DataError(
                f"the cursor is of another plan ({cursor.fingerprint[:8]}, this is {self.fingerprint[:8]}): "
                "resume with the same images and packing settings, or without the cursor"
            )
        self._first = cursor.block if cursor else 0
        self._ends = [cursor.packs if cursor else 0]  # packs before block `_first`, and then through each one after it
        self._block: tuple[int, Block] | None = None
        self._step: tuple[int, _Step] | None = None
        self._sums: dict[int, Sums] = {}

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that decides which images meet in a pack: seconds for 200M images."""
        c = self.config
        return fingerprint([self.mixture.fingerprint, c.capacity, self.max_images, self.prefix, c.look_ahead, c.block])

    def packs_for(self, step: int, rank: int = 0, world: int = 1) -> tuple[Pack, ...]:
        """A rank's packs of a global step: packs rank, rank + world, ... of it, in the order of its passes.

        Raises:
            ValueError: ``world`` does not divide ``packs_per_step``: then ranks would hold different numbers of packs,
                and a sharded step would wait for, or hang on, the ones with more. Or a rank or step out of range.
        """
        self._require_ranks(rank, world)
        made = self._step_of(step)
        return tuple(self._pack(made, int(p)) for p in made.dealt_V[rank::world])

    def cursor(self, step: int) -> Cursor:
        """Where this step begins, to resume without packing the blocks before it."""
        block = self._block_with(self._number(step) * self.config.packs_per_step)
        return Cursor(block=block, packs=self._ends[block - self._first], fingerprint=self.fingerprint)

    def sums(self, step: int) -> Sums:
        """Of each pack of a step, as dealt: tokens int64 [V], cost float64 [V], images int64 [V].

        Kept from `packs_for`, which loaders ask for steps that training comes to later: no block is packed again.
        """
        if step not in self._sums:
            self._step_of(step)
        return self._sums[step]

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

    def _pack(self, made: _Step, number: int) -> Pack:
        images = slice(made.start_V[number], made.start_V[number] + made.size_V[number])
        part_N, index_N = made.part_N[images], made.index_N[images]
        grid_N2, row_N = np.empty((len(part_N), 2), np.uint16), np.empty(len(part_N), np.int64)
        for part in np.unique(part_N):
            chosen_N, source = part_N == part, self.mixture.parts[part]
            grid_N2[chosen_N], row_N[chosen_N] = source.grids_N2[index_N[chosen_N]], source.rows(index_N[chosen_N])
        return Pack(
            epoch=int(made.epoch_V[number]),
            parts_N=part_N,
            rows_N=row_N,
            grids_N2=grid_N2,
            tokens=int(made.tokens_V[number]),
        )

    def _step_of(self, number: int) -> _Step:
        if self._step is None or self._step[0] != number:
            self._step = number, self._make_step(self._number(number))
        made = self._step[1]
        if number not in self._sums:
            while len(self._sums) >= max(2, REMEMBERED // self.config.packs_per_step):
                del self._sums[next(iter(self._sums))]  # the one that was asked for first
            dealt_V = made.dealt_V
            self._sums[number] = made.tokens_V[dealt_V], made.cost_V[dealt_V], made.size_V[dealt_V]
        return made

    def _make_step(self, number: int) -> _Step:
        packs = self.config.packs_per_step
        first, last = number * packs, (number + 1) * packs
        block = self._block_with(first)
        pieces: list[tuple[Block, slice]] = []
        while True:
            packed = self._get(block)
            before = self._ends[block - self._first]
            pieces.append((packed, slice(max(first - before, 0), min(last - before, len(packed.start_P)))))
            if self._ends[block - self._first + 1] >= last:
                break
            block += 1
        size_V = np.concatenate([c.size_P[s] for c, s in pieces])
        tokens_V = np.concatenate([c.tokens_P[s] for c, s in pieces])
        cost_V = self.cost(tokens_V, np.concatenate([c.squares_P[s] for c, s in pieces]))
        images = [slice(c.start_P[s][0], c.start_P[s][-1] + c.size_P[s][-1]) for c, s in pieces]
        return _Step(
            part_N=np.concatenate([c.part_N[i] for (c, _), i in zip(pieces, images, strict=True)]),
            index_N=np.concatenate([c.index_N[i] for (c, _), i in zip(pieces, images, strict=True)]),
            epoch_V=np.concatenate([np.full(len(c.size_P[s]), c.epoch) for c, s in pieces]),
            start_V=np.cumsum(size_V) - size_V,
            size_V=size_V,
            tokens_V=tokens_V,
            cost_V=cost_V,
            dealt_V=deal(cost_V, self.config.match),
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
