"""How an encoder wants its pixels."""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """From an RGB image to uint8 pixels [size, size, 3]; small and picklable, so that decoders need no weights.

    ``fit``: ``crop`` scales the short side to ``size / crop_share`` and cuts the centre out; ``squash`` scales both
    sides to ``size`` and loses nothing but the aspect.
    """

    size: int
    fit: str = "crop"
    crop_share: float = 1.0

    def __call__(self, image: Image.Image) -> np.ndarray:
        if self.fit == "squash":
            return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC))
        w, h = image.size
        side = min(w, h) * self.crop_share
        left, top = (w - side) / 2, (h - side) / 2
        box = (left, top, left + side, top + side)
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box))
