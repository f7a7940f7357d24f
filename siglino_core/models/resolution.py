"""To which size an image is scaled: whole patches, its own aspect, within bounds on the area."""

from dataclasses import dataclass

import numpy as np

MAX_ASPECT = 200


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """A rule of sizes. Equal bounds scale every image to about that area.

    Attributes:
        patch_size: side of a patch, in pixels.
        min_pixels, max_pixels: bounds on an image's area; one outside is scaled, its aspect kept.

    Raises:
        ValueError: a value outside its range.
    """

    patch_size: int = 16
    min_pixels: int = 128**2
    max_pixels: int = 256**2

    def __post_init__(self) -> None:
        if self.patch_size < 1:
            raise ValueError(f"patch_size={self.patch_size}: at least 1")
        if not 0 < self.min_pixels <= self.max_pixels:
            raise ValueError(f"min_pixels={self.min_pixels}: above 0, at most max_pixels={self.max_pixels}")

    def enlarged(self, heights_N: np.ndarray, widths_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same (height, width), but those with a side under one patch scaled until it is one: int64 [N] each."""
        sides_N2 = np.stack([heights_N, widths_N], axis=1).astype(np.int64)
        scale_N1 = np.maximum(1.0, self.patch_size / np.maximum(1, sides_N2.min(axis=1, keepdims=True)))
        height_N, width_N = np.rint(sides_N2 * scale_N1).astype(np.int64).T
        return height_N, width_N

    def sizes(self, heights_N: np.ndarray, widths_N: np.ndarray) -> np.ndarray:
        """The (height, width) to which images are scaled: int64 [N, 2], in pixels, multiples of the patch.

        Args:
            heights_N, widths_N: integers [N], in pixels.

        Raises:
            ValueError: a side under one patch, or an aspect over 200.
        """
        p = self.patch_size
        sides_N2 = np.stack([heights_N, widths_N], axis=1).astype(np.int64)
        small_N = sides_N2.min(axis=1) < p
        if small_N.any():
            height, width = sides_N2[small_N.argmax()]
            raise ValueError(f"an image of {width} x {height} pixels: each side at least {p}")
        thin_N = sides_N2.max(axis=1) > MAX_ASPECT * sides_N2.min(axis=1)
        if thin_N.any():
            height, width = sides_N2[thin_N.argmax()]
            raise ValueError(f"an image of {width} x {height} pixels: an aspect of at most {MAX_ASPECT}")
        area_N1 = sides_N2.prod(axis=1, keepdims=True)
        near_N2 = np.rint(sides_N2 / p) * p  # halves to even
        shrunk_N2 = np.maximum(p, np.floor(sides_N2 / np.sqrt(area_N1 / self.max_pixels) / p) * p)
        grown_N2 = np.ceil(sides_N2 * np.sqrt(self.min_pixels / area_N1) / p) * p
        near_N1 = near_N2.prod(axis=1, keepdims=True)
        bounded_N2 = np.where(near_N1 < self.min_pixels, grown_N2, near_N2)
        return np.where(near_N1 > self.max_pixels, shrunk_N2, bounded_N2).astype(np.int64)
