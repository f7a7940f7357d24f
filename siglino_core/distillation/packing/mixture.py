"""What an epoch is made of: parts with a resolution and a ratio each, drawn in a keyed order.

Legend: N images, of a part or drawn.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from siglino_core.distillation.packing.permutation import permute
from siglino_core.hashing import fingerprint, key_of
from siglino_core.models.resolution import Resolution

PIECE = 1 << 20  # rows at a time where temporary arrays are larger than the result


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """Images of the curated set at one resolution; two parts may hold the same images.

    Attributes:
        name: in messages.
        grids_N2: uint16 [N, 2], the (height, width) of each image in patches. 4 bytes an image: 800 MB for 200M; may
            be a memory-mapped file.
        rows_N: int [N], each image's row in the curated set; None: the part holds rows 0 to N - 1.
        ratio: its share of an epoch's images, relative to the other parts'; None, for all parts: their sizes.
    """

    name: str
    grids_N2: np.ndarray
    rows_N: np.ndarray | None = None
    ratio: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        heights_N: np.ndarray,
        widths_N: np.ndarray,
        resolution: Resolution,
        *,
        rows_N: np.ndarray | None = None,
        ratio: float | None = None,
    ) -> "Part":
        """A part of images of these (height, width), in pixels, each scaled as ``resolution`` says.

        Raises:
            ValueError: a side under one patch, or an aspect over 200.
        """
        return cls(name=name, grids_N2=grids(heights_N, widths_N, resolution), rows_N=rows_N, ratio=ratio)

    def __post_init__(self) -> None:
        if self.grids_N2.ndim != 2 or self.grids_N2.shape[1] != 2 or not np.issubdtype(self.grids_N2.dtype, np.integer):
            layout = f"{self.grids_N2.dtype} {list(self.grids_N2.shape)}"
            raise ValueError(f"part '{self.name}': grids are integers [N, 2], these are {layout}")
        if self.rows_N is not None and len(self.rows_N) != len(self):
            raise ValueError(f"part '{self.name}': {len(self.rows_N)} rows for {len(self)} grids")
        if not len(self):
            raise ValueError(f"part '{self.name}' has no images")
        if self.ratio is not None and not (math.isfinite(self.ratio) and self.ratio > 0):
            raise ValueError(f"part '{self.name}': ratio={self.ratio}: above 0")

    def __len__(self) -> int:
        return len(self.grids_N2)

    def patches(self, index_N: np.ndarray | slice) -> np.ndarray:
        """Patches of some of its images: int64 [N]."""
        return self.grids_N2[index_N].astype(np.int64).prod(axis=1)

    def rows(self, index_N: np.ndarray) -> np.ndarray:
        """Rows in the curated set of some of its images: int64 [N]."""
        return np.asarray(index_N if self.rows_N is None else self.rows_N[index_N], np.int64)


def grids(heights_N: np.ndarray, widths_N: np.ndarray, resolution: Resolution) -> np.ndarray:
    """The (height, width) in patches of images of these sizes in pixels: uint16 [N, 2].

    Raises:
        ValueError: a side under one patch, or an aspect over 200.
    """
    out_N2 = np.empty((len(heights_N), 2), np.uint16)
    for i in range(0, len(out_N2), PIECE):
        grid_N2 = resolution.sizes(heights_N[i : i + PIECE], widths_N[i : i + PIECE]) // resolution.patch_size
        assert grid_N2.max() < 1 << 16
        out_N2[i : i + PIECE] = grid_N2
    return out_N2


def native_between(heights_N: np.ndarray, widths_N: np.ndarray, low: int, high: int) -> np.ndarray:
    """Rows of the images whose own area is from low^2 to high^2 pixels: int64, for a part that scales none of them."""
    area_N = np.asarray(heights_N, np.int64) * widths_N
    return np.flatnonzero((low**2 <= area_N) & (area_N <= high**2))


@dataclass(frozen=True, eq=False, kw_only=True)
class Mixture:
    """Parts, mixed by ratio. The n-th image of an epoch is a pure function of (seed, epoch, n).

    Every epoch draws ``counts`` images from the parts. A part goes through all of its images before it draws any of
    them again, over the epochs' bounds; then in another order. With one part, or ratios left out, an epoch is every
    image once.

    Attributes:
        parts: up to 255.
        seed: of every random choice, here and in the plan.
        images: of an epoch; None: as many as all parts have.

    Raises:
        ValueError: no parts, ratios for some of them only, or a part of whose images an epoch takes none.
    """

    parts: Sequence[Part]
    seed: int = 0
    images: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.parts) <= 255:
            raise ValueError(f"{len(self.parts)} parts: 1 to 255")
        names = [p.name for p in self.parts]
        if len(set(names)) < len(names):
            raise ValueError(f"parts {names}: each name once")
        if len({p.ratio is None for p in self.parts}) > 1:
            raise ValueError("ratios of " + ", ".join(f"{p.name} {p.ratio}" for p in self.parts) + ": all, or none")
        for part, count in zip(self.parts, self.counts, strict=True):
            if count == 0:
                raise ValueError(f"part '{part.name}': ratio={part.ratio} of {len(self)} images is none: raise either")

    def __len__(self) -> int:
        """Images of an epoch."""
        return sum(len(p) for p in self.parts) if self.images is None else self.images

    @cached_property
    def counts(self) -> list[int]:
        """Images that an epoch takes from each part: by ratio, the largest fractions rounded up."""
        weights = np.array([len(p) if p.ratio is None else p.ratio for p in self.parts], np.float64)
        ideal = len(self) * weights / weights.sum()
        counts = np.floor(ideal).astype(np.int64)
        counts[np.argsort(counts - ideal, kind="stable")[: len(self) - counts.sum()]] += 1
        return counts.tolist()

    def draw(self, epoch: int, positions_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The images at some positions of an epoch: the number of each one's part, uint8 [N], and its index there."""
        ends = np.cumsum(self.counts)
        place_N = permute(key_of(self.seed, "epoch", epoch), len(self), positions_N)
        part_N = np.searchsorted(ends, place_N, side="right").astype(np.uint8)
        index_N = np.empty(len(place_N), np.int64)
        for number, (part, count) in enumerate(zip(self.parts, self.counts, strict=True)):
            places = np.flatnonzero(part_N == number)
            drawn_N = place_N[places] - (ends[number] - count)
            if count % len(part):  # which images an epoch takes is a matter of the order; else it takes all alike
                cycle_N, drawn_N = np.divmod(drawn_N + epoch * count, len(part))
                drawn_N = permute(key_of(self.seed, "part", part.name), len(part), drawn_N, cycle_N)
            index_N[places] = drawn_N % len(part)
        return part_N, index_N

    def patches(self, part_N: np.ndarray, index_N: np.ndarray) -> np.ndarray:
        """Patches of drawn images: int64 [N]."""
        out_N = np.empty(len(index_N), np.int64)
        for number, part in enumerate(self.parts):
            chosen_N = part_N == number
            out_N[chosen_N] = part.patches(index_N[chosen_N])
        return out_N

    @property
    def fingerprint(self) -> str:
        """A hash of all that shapes the epochs: seconds for 200M images."""
        arrays = [[_checksum(p.grids_N2), None if p.rows_N is None else _checksum(p.rows_N)] for p in self.parts]
        return fingerprint([self.seed, self.counts, [p.name for p in self.parts], arrays])


def _checksum(values: np.ndarray) -> int:
    crc = 0
    for i in range(0, len(values), PIECE):
        crc = zlib.crc32(values[i : i + PIECE].astype(np.int64).tobytes(), crc)
    return crc
