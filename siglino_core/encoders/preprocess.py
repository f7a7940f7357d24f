"""How an encoder wants its pixels."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from PIL import Image

from siglino_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """From an RGB image to uint8 pixels [size, size, 3]; small and picklable, so that decoders need no weights.

    ``fit``: ``crop`` scales the short side to ``size / crop_share`` and cuts the centre out; ``squash`` scales both
    sides to ``size`` and loses nothing but the aspect.

    Raises:
        ConfigError: one of them cannot be.
    """

    size: int
    fit: str = "crop"
    crop_share: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.size, Integral) or self.size < 1:
            raise ConfigError(f"Preprocess(size={self.size!r}): a whole number of pixels, from 1")
        if self.fit not in ("crop", "squash"):
            raise ConfigError(f"Preprocess(fit={self.fit!r}): crop or squash")
        if not 0 < self.crop_share <= 1:
            raise ConfigError(f"Preprocess(crop_share={self.crop_share!r}): above 0, and at most 1")

    def __call__(self, image: Image.Image) -> np.ndarray:
        if self.fit == "squash":
            return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC))
        w, h = image.size
        side = min(w, h) * self.crop_share
        left, top = (w - side) / 2, (h - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box))
