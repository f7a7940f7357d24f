"""What an epoch is made of: which curated sets, at which resolution each of them is seen, and the plan of packs.

Legend: N images of a set.
"""

import numpy as np

from siglino_core.config import Config, PartConfig
from siglino_core.distillation.curated.sets import CuratedSets
from siglino_core.distillation.packing import Cost, Cursor, Mixture, Part, Plan, native_between
from siglino_core.errors import ConfigError
from siglino_core.models.resolution import Resolution


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


def mixture_of(config: Config, sets: CuratedSets, patch_size: int) -> Mixture:
    """The images of an epoch.

    Raises:
        ConfigError: a part without images, or one that takes none of an epoch's.
    """
    parts = []
    for part in parts_of(config):
        s = sets.runs.index(part.run or config.run)
        index, start = sets.indexes[s], int(sets.starts[s])
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


def plan_of(config: Config, mixture: Mixture, *, prefix: int, cost: Cost, cursor: Cursor | None = None) -> Plan:
    """Which images meet in which pack of which step."""
    return Plan(mixture, config.train.pack, cost, prefix=prefix, cursor=cursor)


def _shifted(rows_N: np.ndarray | None, start: int, count: int) -> np.ndarray | None:
    if rows_N is None:
        return np.arange(start, start + count) if start else None
    return rows_N + start
