"""Splits of made-up features, for the tests of segmentation."""

from collections.abc import Iterator, Sequence

import numpy as np

Image = tuple[str, np.ndarray, np.ndarray]


class Listed:
    """Images in memory; counts how often it was read."""

    def __init__(self, images: Sequence[Image]) -> None:
        self.images, self.rounds = list(images), 0

    def __iter__(self) -> Iterator[Image]:
        self.rounds += 1
        return iter(self.images)


def blocks(
    seed: int,
    images: int,
    *,
    classes: int = 4,
    width: int = 16,
    grid: tuple[int, int] = (6, 6),
    patch: int = 4,
    noise: float = 0.3,
    ragged: bool = False,
    prefix: str = "",
) -> Listed:
    """Images whose patches lie near their class's own direction; labels of patch times as many pixels, some 255."""
    centres_CD = np.random.default_rng(99).standard_normal((classes, width))
    rng = np.random.default_rng(seed)
    made: list[Image] = []
    for i in range(images):
        h, w = (grid[0] + i % 3, grid[1] + i % 2) if ragged else grid
        numbers_hw = rng.integers(0, classes, (h, w))
        patches_hwD = (centres_CD[numbers_hw] + noise * rng.standard_normal((h, w, width))).astype(np.float16)
        mask_HW = numbers_hw.repeat(patch, 0).repeat(patch, 1).astype(np.uint8)
        mask_HW = mask_HW[: mask_HW.shape[0] - i % 3 if ragged else None]
        mask_HW[rng.random(mask_HW.shape) < 0.05] = 255
        made.append((f"{prefix}{i:03}", patches_hwD, mask_HW))
    return Listed(made)
