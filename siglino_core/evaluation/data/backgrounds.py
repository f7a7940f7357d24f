"""Backgrounds of synthetic scenes: one colour, a gradient, noise of several scales, stripes, or a part of a photograph.

Legend: H and W pixels.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from siglino_core.images.decode import decode

MAX_PIXELS, MAX_BYTES = 1 << 26, 1 << 26
Size = tuple[int, int]  # (height, width)


def background(rng: np.random.Generator, size: Size, photographs: Sequence[bytes] = ()) -> Image.Image:
    """An RGB image; nothing in it depends on the objects that will lie on it.

    Raises:
        BadImage: a photograph cannot be decoded.
    """
    if photographs:
        return _photograph(rng, size, photographs[int(rng.integers(len(photographs)))])
    kinds = (_plain, _gradient, _noise, _stripes)
    pixels_HW3 = kinds[int(rng.integers(len(kinds)))](rng, size)
    return Image.fromarray(pixels_HW3.clip(0, 255).round().astype(np.uint8))


def _plain(rng: np.random.Generator, size: Size) -> np.ndarray:
    return np.broadcast_to(_colour(rng), (*size, 3))


def _gradient(rng: np.random.Generator, size: Size) -> np.ndarray:
    along_HW = _along(rng, size)
    low, high = along_HW.min(), along_HW.max()
    return _mixed(rng, (along_HW - low) / max(1e-9, high - low))


def _stripes(rng: np.random.Generator, size: Size) -> np.ndarray:
    period = rng.uniform(0.04, 0.25) * max(size)
    return _mixed(rng, (_along(rng, size) / period % 1 < rng.uniform(0.3, 0.7)).astype(float))


def _noise(rng: np.random.Generator, size: Size) -> np.ndarray:
    total_HW3 = np.zeros((*size, 3))
    for cells in (3, 8, 24):
        coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        fine = coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        total_HW3 += (np.asarray(fine) - 127.5) / cells**0.5
    return _colour(rng) + total_HW3


def _photograph(rng: np.random.Generator, size: Size, data: bytes) -> Image.Image:
    """A part of the scene's aspect, at least half as large as fits."""
    im = decode(data, max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES)
    scale = min(im.height / size[0], im.width / size[1]) * rng.uniform(0.5, 1.0)
    height, width = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    top, left = (int(rng.integers(space + 1)) for space in (im.height - height, im.width - width))
    box = (left, top, left + width, top + height)
    return im.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box)


def _along(rng: np.random.Generator, size: Size) -> np.ndarray:
    """How far each pixel lies in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    rows_H1, columns_W = np.arange(size[0])[:, None], np.arange(size[1])
    return rows_H1 * np.sin(angle) + columns_W * np.cos(angle)


def _mixed(rng: np.random.Generator, share_HW: np.ndarray) -> np.ndarray:
    one, other = _colour(rng), _colour(rng)
    return one + share_HW[..., None] * (other - one)


def _colour(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, 3).astype(float)
