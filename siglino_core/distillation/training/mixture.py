"""The images that a training draws from: one or more curated sets, and at which resolution each of them is seen.

Legend: N images of a set, B rows that are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from siglino_core.config import Config, PartConfig
from siglino_core.errors import ConfigError
from siglino_core.models.resolution import Resolution
from siglino_core.packing import Cost, Mixture, PackingConfig, Part, Place, Plan, native_between
from siglino_core.store import Ranges, Run
from siglino_core.training.index import ImageIndex


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool:
    """Curated sets one after the other: row r of all is row ``r - starts[s]`` of set s. It may be pickled."""

    runs: list[str]
    indexes: list[ImageIndex]
    ranges: list[Ranges] = field(repr=False)

    @classmethod
    def load(cls, runs: Sequence[str], cache: Path | None = None) -> "Pool":
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
        found = [b""] * len(rows_B)
        of_B = self._sets(rows_B)
        for s in np.unique(of_B):
            mine = np.flatnonzero(of_B == s)
            images = self.indexes[s].read_images(self.ranges[s], rows_B[mine] - self.starts[s])
            for i, data in zip(mine, images, strict=True):
                found[i] = data
        return found

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


def parts_of(config: Config) -> list[PartConfig]:
    """The parts that are trained on: as configured, or the run's own sample at the targets' resolution."""
    targets = config.targets
    whole = PartConfig(name="sample", min_pixels=targets.min_pixels, max_pixels=targets.max_pixels)
    return config.train.parts or [whole]


def largest_area(config: Config) -> int:
    """The largest that images are seen at, in pixels."""
    return max(part.max_pixels for part in parts_of(config))


def runs_of(config: Config) -> list[str]:
    """The runs whose samples are trained on, this one first: its rows need no table."""
    return list(dict.fromkeys([config.run, *(part.run or config.run for part in parts_of(config))]))


def mixture_of(config: Config, pool: Pool, patch_size: int) -> Mixture:
    """The images of an epoch.

    Raises:
        ConfigError: a part without images, or one that takes none of an epoch's.
    """
    parts = []
    for part in parts_of(config):
        s = pool.runs.index(part.run or config.run)
        index, start = pool.indexes[s], int(pool.starts[s])
        rows_N: np.ndarray | None = None
        if part.native_from or part.native_to:
            rows_N = native_between(index.heights_N, index.widths_N, part.native_from, part.native_to or 1 << 15)
        resolution = Resolution(patch_size=patch_size, min_pixels=part.min_pixels, max_pixels=part.max_pixels)
        of_N = slice(None) if rows_N is None else rows_N
        try:
            made = Part.of(
                part.name,
                index.heights_N[of_N],
                index.widths_N[of_N],
                resolution,
                rows_N=_shifted(rows_N, start, len(index)),
                ratio=part.ratio or None,
            )
        except ValueError as e:
            raise ConfigError(f"train.parts: {e}") from e
        parts.append(made)
    try:
        return Mixture(parts=parts, seed=config.seed)
    except ValueError as e:
        raise ConfigError(f"train.parts: {e}") from e


def plan_of(config: Config, mixture: Mixture, *, prefix: int, cost: Cost, place: Place | None = None) -> Plan:
    """Which images meet in which pack of which step."""
    pack = config.train.pack
    packing = PackingConfig(
        packs_per_step=pack.packs_per_step,
        capacity=pack.capacity,
        max_images=pack.max_images or None,
        prefix=prefix,
        look_ahead=pack.look_ahead,
        window=pack.window,
        match=pack.match,
    )
    return Plan(mixture, packing, cost, place=place)


def _shifted(rows_N: np.ndarray | None, start: int, count: int) -> np.ndarray | None:
    if rows_N is None:
        return np.arange(start, start + count) if start else None
    return rows_N + start
