"""A bounded draw from a stream of images: those with the lowest keyed numbers, wherever shards begin and end.

Legend: N images of a block, M images that are kept.
"""

from dataclasses import dataclass, field

import numpy as np

from siglino_core.hashing import uniform


@dataclass(eq=False)
class Draw:
    """The ``most`` images with the lowest numbers under a key; each image's number follows from its id alone.

    So the same images are drawn in any order of blocks, and a smaller draw is a part of a larger one. Memory holds at
    most twice as many as are asked for, and a block.

    Attributes:
        most: 0: all.
        seen: how many images went by.
    """

    most: int
    key: int
    seen: int = 0
    _numbers_M: np.ndarray = field(default_factory=lambda: np.empty(0, np.float64))
    _bits_M: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    _places_M2: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))

    def add(self, bits_N: np.ndarray, block: int, rows_N: np.ndarray) -> None:
        """Let a block's images go by.

        Args:
            bits_N: uint64, from :func:`siglino_core.hashing.id_bits`.
            block: a number of one's own for the block.
            rows_N: int64, the images' rows in it.
        """
        self.seen += len(rows_N)
        numbers_N = uniform(self.key, bits_N)
        if self.most and len(self._numbers_M) >= self.most:  # what cannot be among the lowest need not be kept
            low_N = numbers_N <= self._numbers_M.max()
            bits_N, rows_N, numbers_N = bits_N[low_N], rows_N[low_N], numbers_N[low_N]
        places_N2 = np.stack([np.full(len(rows_N), block, np.int64), rows_N.astype(np.int64)], axis=1)
        self._numbers_M = np.concatenate([self._numbers_M, numbers_N])
        self._bits_M = np.concatenate([self._bits_M, bits_N])
        self._places_M2 = np.concatenate([self._places_M2, places_N2])
        if self.most and len(self._numbers_M) > 2 * self.most:
            self._cut()

    def rows(self) -> dict[int, np.ndarray]:
        """The rows that are drawn, sorted, int64, by block; blocks without any are not there."""
        self._cut()
        blocks_M, rows_M = self._places_M2[:, 0], self._places_M2[:, 1]
        order = np.lexsort((rows_M, blocks_M))
        blocks_M, rows_M = blocks_M[order], rows_M[order]
        blocks, starts = np.unique(blocks_M, return_index=True)
        return dict(zip(blocks.tolist(), np.split(rows_M, starts[1:]), strict=True)) if len(blocks) else {}

    def _cut(self) -> None:
        if self.most and len(self._numbers_M) > self.most:
            low = np.lexsort((self._bits_M, self._numbers_M))[: self.most]
            self._numbers_M, self._bits_M = self._numbers_M[low], self._bits_M[low]
            self._places_M2 = self._places_M2[low]
