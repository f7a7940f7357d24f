"""Sizes like those of images from the web: lognormal sides and aspects, the same for the same seed."""

import numpy as np

from siglino_core.distillation.packing import Mixture, Part
from siglino_core.models.resolution import Resolution

NATIVE = Resolution(max_pixels=768**2)
SMALL = Resolution(max_pixels=256**2)
# Stage 2 of the recipe: native images, middling ones, and the native ones again, scaled down to 256^2 and to 512^2.
MIXED = {
    "native": NATIVE,
    "middle": Resolution(min_pixels=256**2, max_pixels=384**2),
    "to 256": SMALL,
    "to 512": Resolution(max_pixels=512**2),
}


def web_sizes(images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Heights and widths in pixels, int64 [images] each: half of the images lie under 510^2."""
    rng = np.random.default_rng(seed)
    side_N = 510 * np.exp(0.55 * rng.standard_normal(images))
    stretch_N = np.exp(0.175 * rng.standard_normal(images))
    sizes_2N = np.maximum(16, np.rint([side_N / stretch_N, side_N * stretch_N])).astype(np.int64)
    return sizes_2N[0], sizes_2N[1]


def web(images: int, resolution: Resolution, seed: int = 0) -> Mixture:
    return Mixture(parts=[Part.of("web", *web_sizes(images, seed), resolution)])


def mixed(images: int, seed: int = 0) -> Mixture:
    """Four parts, a quarter of an epoch's images each."""
    sizes = web_sizes(images // 4, seed)
    return Mixture(parts=[Part.of(name, *sizes, rule, ratio=1) for name, rule in MIXED.items()])


def of_tokens(*tokens: int, prefix: int = 5, seed: int = 0) -> Mixture:
    """One part of images of so many tokens."""
    return Mixture(parts=[Part(name="all", grids_N2=np.array([[1, n - prefix] for n in tokens], np.uint16))], seed=seed)


def mix(mixture: Mixture, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An epoch in full: each image's part uint8 [N], row int64 [N], and (height, width) in patches uint16 [N, 2]."""
    part_N, index_N = mixture.draw(epoch, np.arange(len(mixture)))
    row_N, grid_N2 = np.empty(len(index_N), np.int64), np.empty((len(index_N), 2), np.uint16)
    for number, part in enumerate(mixture.parts):
        mine = part_N == number
        row_N[mine], grid_N2[mine] = part.rows(index_N[mine]), part.grids_N2[index_N[mine]]
    return part_N, row_N, grid_N2
