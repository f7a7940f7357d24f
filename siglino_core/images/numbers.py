"""Masks: images whose pixels are class numbers, read as they are stored and not as they look."""

import numpy as np
from PIL import Image

from siglino_core.images.png import SIGNATURE
from siglino_core.images.reasons import BadImage

_LOSSLESS = ("PNG", "BMP", "TIFF")
_GREY = 0  # a PNG's colour type


def class_numbers(im: Image.Image, data: bytes) -> np.ndarray:
    """The numbers of an opened image: uint8 or uint16 [H, W]. Loads it.

    Pillow spreads grey levels of 2 and 4 bits over 0 to 255; here they become small numbers again.

    Args:
        data: the file, whose header tells how many bits a level has.

    Raises:
        BadImage: it holds colours, transparency beside its levels, or what a lossy coding left of numbers.
    """
    if im.format not in _LOSSLESS:
        raise BadImage("colours", f"a mask in {im.format}, whose pixels are not kept as they are: give a PNG")
    im.load()
    if im.mode == "1":
        return np.asarray(im).astype(np.uint8)
    if im.mode == "P":
        return np.asarray(im)
    if im.mode == "L":
        bits, kind = (data[24], data[25]) if data.startswith(SIGNATURE) else (8, _GREY)
        return np.asarray(im) // (255 // (2**bits - 1)) if bits < 8 and kind == _GREY else np.asarray(im)
    if im.mode.startswith("I"):
        levels = np.asarray(im)
        if levels.min() >= 0 and levels.max() < 1 << 16:
            return levels.astype(np.uint16)
    raise BadImage("colours", f"a mask of mode {im.mode}: its pixels are colours, not class numbers")
