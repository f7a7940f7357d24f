"""Junk to plant in a pool: what a recipe should leave behind.

Legend: N images, J junk rows, D channels.
"""

import numpy as np

from siglino_core.hashing import key_of

SHARE = 0.01  # of the pool
SIDE = 64  # pixels of a noise image, before an encoder scales it


def amount(images: int) -> int:
    """How many rows of junk are planted among so many images: one in a hundred, and two at least."""
    return max(2, round(SHARE * images))


def isotropic(count: int, dim: int, seed: int) -> np.ndarray:
    """Directions drawn uniformly: unit fp32 [J, D], near to nothing that an encoder says."""
    drawn_JD = _rng(seed, "isotropic").standard_normal((count, dim))
    return (drawn_JD / np.linalg.norm(drawn_JD, axis=1, keepdims=True)).astype(np.float32)


def permuted(points_ND: np.ndarray, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Vectors of some of the rows with their channels in another order: fp32 [J, D].

    Lengths and values are those of images, their combination is of none.
    """
    rng = _rng(seed, "permuted")
    chosen_JD = points_ND[rows[rng.integers(len(rows), size=count)]].astype(np.float32)
    return rng.permuted(chosen_JD, axis=1)


def noise_images(count: int, seed: int) -> np.ndarray:
    """Pixels drawn uniformly: uint8 [J, 64, 64, 3]."""
    return _rng(seed, "noise images").integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def _rng(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(key_of(seed, "junk", purpose))
