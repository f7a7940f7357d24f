"""A stretch of an epoch, packed on its own: the unit that the plan can begin from.

Legend: N images, P packs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from siglino_core.config import PackConfig
from siglino_core.distillation.packing.bestfit import best_fit
from siglino_core.distillation.packing.match import interleave
from siglino_core.distillation.packing.mixture import PIECE, Mixture, Part
from siglino_core.errors import DataError
from siglino_core.hashing import key_of, uniform


@dataclass(frozen=True, eq=False)
class Block:
    """Packed images.

    Attributes:
        epoch: from which they come.
        part_N, index_N: uint8 and int64 [N], each one's part and its index there, in the order of their packs.
        tokens_N: int64 [N].
        start_P, size_P: int64 [P], where each pack begins, and its images.
    """

    epoch: int
    part_N: np.ndarray
    index_N: np.ndarray
    tokens_N: np.ndarray
    start_P: np.ndarray
    size_P: np.ndarray

    @cached_property
    def tokens_P(self) -> np.ndarray:
        """Of each pack: int64 [P]."""
        return np.add.reduceat(self.tokens_N, self.start_P)

    @cached_property
    def squares_P(self) -> np.ndarray:
        """The sum of its images' squared tokens: int64 [P]."""
        return np.add.reduceat(self.tokens_N**2, self.start_P)


def make_block(mixture: Mixture, config: PackConfig, max_images: int, prefix: int, number: int) -> Block:
    """A block, counted over all epochs, its packs in the order of the row.

    An epoch's blocks are of one length, give or take an image.
    """
    blocks = -(-len(mixture) // config.block)
    epoch, nth = divmod(number, blocks)
    first, last = (len(mixture) * n // blocks for n in (nth, nth + 1))
    part_N, index_N = mixture.draw(epoch, np.arange(first, last))
    tokens_N = mixture.patches(part_N, index_N) + prefix
    order_N, start_P = best_fit(tokens_N, capacity=config.capacity, max_images=max_images, look_ahead=config.look_ahead)
    size_P = np.diff(start_P, append=len(order_N))
    # Packs that were filled early and late are not alike: the large images go first.
    start = float(uniform(key_of(mixture.seed, "packs", number), np.zeros(1, np.uint64))[0])
    row_P = interleave(part_N[order_N], tokens_N[order_N], size_P, start)
    start_P, size_P = start_P[row_P], size_P[row_P]
    ends_P = np.cumsum(size_P)
    order_N = order_N[np.repeat(start_P - ends_P + size_P, size_P) + np.arange(len(order_N))]
    return Block(epoch, part_N[order_N], index_N[order_N], tokens_N[order_N], ends_P - size_P, size_P)


def least_mean_tokens(mixture: Mixture, capacity: int, prefix: int) -> float:
    """The mean tokens of the part whose images are smallest, after a look at every image of every part.

    Raises:
        DataError: one has more tokens than a pack holds, or no patches.
    """
    means = []
    for part in mixture.parts:
        total = 0
        for i in range(0, len(part), PIECE):
            tokens_N = part.patches(slice(i, i + PIECE)) + prefix
            total += int(tokens_N.sum())
            if part.grids_N2[i : i + PIECE].min() < 1:
                at = int(part.grids_N2[i : i + PIECE].min(axis=1).argmin())
                raise DataError(f"{_name(part, i + at)}: each side at least 1")
            if tokens_N.max() > capacity:
                at = int(tokens_N.argmax())
                raise DataError(
                    f"{_name(part, i + at)} are {tokens_N[at]} tokens with its prefix, a pack holds capacity="
                    f"{capacity}: raise it, or lower the part's max_pixels"
                )
        means.append(total / len(part))
    return min(means)


def _name(part: Part, index: int) -> str:
    height, width = part.grids_N2[index]
    return f"row {part.rows(np.array([index]))[0]} of part '{part.name}': {height} x {width} patches"
