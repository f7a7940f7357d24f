"""The curated images that a training draws from: the samples of one or more runs, one after the other.

Legend: S sets, B rows that are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from siglino_core.distillation.curated.index import ImageIndex
from siglino_core.store import Ranges, Run


@dataclass(frozen=True, eq=False, kw_only=True)
class CuratedSets:
    """Curated sets one after the other: row r of all is row ``r - starts[s]`` of set s. It may be pickled."""

    runs: list[str]
    indexes: list[ImageIndex]
    ranges: list[Ranges] = field(repr=False)

    @classmethod
    def load(cls, runs: Sequence[str], cache: Path | None = None) -> "CuratedSets":
        """The finished samples of some runs.

        Args:
            cache: as of `ImageIndex.load`.

        Raises:
            ConfigError, StoreError: a sample is not finished, or has no index.
        """
        stages = [Run(run).stage("sample") for run in runs]
        indexes = [ImageIndex.load(stage, cache) for stage in stages]
        return cls(runs=list(runs), indexes=indexes, ranges=[Ranges(stage.files) for stage in stages])

    @property
    def starts(self) -> np.ndarray:
        """int64 [S + 1]: the first row of each set, and all rows."""
        return np.cumsum([0, *(len(index) for index in self.indexes)])

    def read(self, rows_B: np.ndarray) -> list[bytes]:
        """The encoded images; raises as `ImageIndex.read_images`."""
        contents = [b""] * len(rows_B)
        set_B = self._sets(rows_B)
        for s in np.unique(set_B):
            places = np.flatnonzero(set_B == s)
            images = self.indexes[s].read_images(self.ranges[s], rows_B[places] - self.starts[s])
            for i, data in zip(places, images, strict=True):
                contents[i] = data
        return contents

    def image_ids(self, rows_B: np.ndarray) -> list[str]:
        """The images' ids."""
        return [
            self.indexes[s].image_id(int(row - self.starts[s]))
            for s, row in zip(self._sets(rows_B), rows_B, strict=True)
        ]

    def clusters(self, level: int, rows_B: np.ndarray) -> np.ndarray:
        """The images' clusters of the first set at a level (from 1), -1 for images of other sets: int64 [B]."""
        first = self._sets(rows_B) == 0
        out_B = np.full(len(rows_B), -1, np.int64)
        out_B[first] = self.indexes[0].levels_LN[level - 1][rows_B[first]]
        return out_B

    def _sets(self, rows_B: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.starts, rows_B, side="right") - 1
