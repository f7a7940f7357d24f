"""From an RGB image to the pixels that a network is evaluated on: three rules, small and picklable.

Decoding processes hold these alone, and no weights. All resize with Pillow's bicubic filter, which averages over what
it shrinks (antialiasing), as training, curation and the exported image processor do.

Legend: H and W pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from siglino_core.encoders.preprocess import Preprocess
from siglino_core.errors import ConfigError
from siglino_core.models.resolution import MAX_ASPECT, Resolution

BICUBIC = {"interpolation": "bicubic", "antialias": True}
HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True, kw_only=True)
class OnGrid:
    """Whole patches in the image's own aspect, its area within bounds: as students are trained and exported.

    The two sides are scaled by factors that differ a little, since each becomes a multiple of the patch.

    Attributes:
        normal: mean and deviation of the channels that the network applies afterwards; it is told, and not done here.
        squeezed: the network then makes a square of so many pixels of them, bilinearly; 0: it takes them as they are.
    """

    resolution: Resolution
    normal: Mapping[str, Any] = field(default_factory=lambda: HALF)
    squeezed: int = 0

    def __call__(self, image: Image.Image) -> np.ndarray:
        """uint8 [H, W, 3]; a side under one patch is brought up to one, its aspect kept.

        Raises:
            ValueError: an aspect over 200.
        """
        height, width = self.size(image.height, image.width)
        return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) in pixels, as the exported image processor has it; raises as the call."""
        short, patch = min(height, width), self.resolution.patch_size
        if short < 1 or max(height, width) > MAX_ASPECT * short:
            raise ValueError(f"an image of {width} x {height} pixels: an aspect of at most {MAX_ASPECT}")
        if short < patch:
            height, width = round(height * patch / short), round(width * patch / short)
        h, w = self.resolution.sizes(np.array([height]), np.array([width]))[0]
        return int(h), int(w)

    def describe(self) -> dict[str, Any]:
        bounds = {name: getattr(self.resolution, name) for name in ("patch_size", "min_pixels", "max_pixels")}
        squeezed = {"then_squeezed_to": self.squeezed} if self.squeezed else {}
        return {"rule": "grid", **BICUBIC, **bounds, **squeezed, **self.normal}


@dataclass(frozen=True, kw_only=True)
class OwnPixels:
    """As the network's authors have it: the centre of the image, or all of it, in a square."""

    preprocess: Preprocess
    normal: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """uint8 [size, size, 3]."""
        return self.preprocess(image)

    def describe(self) -> dict[str, Any]:
        own = self.preprocess
        crop = {"crop_share": own.crop_share} if own.fit == "crop" else {}
        return {"rule": "own", "fit": own.fit, "size": own.size, **crop, **BICUBIC, **self.normal}


@dataclass(frozen=True, kw_only=True)
class Squash:
    """All of the image in a square, whatever its aspect.

    Raises:
        ConfigError: a side under one pixel.
    """

    size: int
    normal: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"Squash(size={self.size}): a whole number of pixels, from 1")

    def __call__(self, image: Image.Image) -> np.ndarray:
        """uint8 [size, size, 3]."""
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC))

    def describe(self) -> dict[str, Any]:
        return {"rule": "squash", "size": self.size, **BICUBIC, **self.normal}
