"""Encoded images, safely: what they are, whether they are whole, and their pixels as RGB."""

import contextlib
import io
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from siglino_core.config import Verify
from siglino_core.images.formats import FORMATS, name_of, plugin_of
from siglino_core.images.numbers import class_numbers
from siglino_core.images.png import picture_alone
from siglino_core.images.reasons import BadImage, broken, too_many_bytes
from siglino_core.models.rgb import orientation, to_rgb, to_rgba

__all__ = ["FORMATS", "BadImage", "ImageInfo", "decode", "decode_alpha", "decode_numbers", "probe"]

T = TypeVar("T")


@dataclass(frozen=True)
class ImageInfo:
    """The encoding (one of :data:`FORMATS`), and the size in pixels as shown: after EXIF orientation."""

    format: str
    width: int
    height: int


def probe(data: bytes, *, max_pixels: int, max_bytes: int, verify: Verify) -> ImageInfo:
    """What the encoded image is; with ``Verify.DECODE`` also whether all of it can be decoded.

    Raises:
        BadImage: it cannot be used.
    """

    def look(im: Image.Image) -> ImageInfo:
        width, height = im.size
        if verify is Verify.DECODE:
            im.draft("L", (1, 1))  # JPEG at 1/8: all of the data is read, a 64th of the pixels are made
            im.load()
        if orientation(im) >= 5:
            width, height = height, width
        return ImageInfo(name_of(im), width, height)

    return _opened(data, max_pixels, max_bytes, look)


def decode(data: bytes, *, max_pixels: int, max_bytes: int, draft: int | None = None) -> Image.Image:
    """The first frame as an RGB image: upright by its EXIF orientation, transparency over white, 8 bits.

    Args:
        draft: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, but its short side keeps this many pixels. Left
            out, the pixels are those that a student's image processor sees.

    Raises:
        BadImage: it cannot be used.
    """

    def pixels(im: Image.Image) -> Image.Image:
        if draft:
            im.draft("RGB", (draft, draft))
        return to_rgb(im)

    return _opened(data, max_pixels, max_bytes, pixels)


def decode_alpha(data: bytes, *, max_pixels: int, max_bytes: int) -> Image.Image:
    """The first frame as an RGBA image, upright; raises as :func:`decode`."""
    return _opened(data, max_pixels, max_bytes, to_rgba)


def decode_numbers(data: bytes, *, max_pixels: int, max_bytes: int) -> np.ndarray:
    """The class numbers that a mask holds, uint8 or uint16 [H, W], as they are stored; a palette's are its indices.

    Raises:
        BadImage: it cannot be used; with the reason ``colours``: it has colours or lossy levels, not numbers.
    """
    return _opened(data, max_pixels, max_bytes, lambda im: class_numbers(im, data))


def _opened(data: bytes, max_pixels: int, max_bytes: int, use: Callable[[Image.Image], T]) -> T:
    """What ``use`` makes of the image; a PNG that fails is tried again without what is written beside its picture."""
    if not data:
        raise BadImage("zero_size", "the file is empty")
    if len(data) > max_bytes:
        raise too_many_bytes(len(data), max_bytes)
    try:
        return _tried(data, max_pixels, use)
    except BadImage as e:
        alone = picture_alone(data) if e.reason == "corrupt" else None
        if alone is None:
            raise
        with contextlib.suppress(BadImage):
            return _tried(alone, max_pixels, use)
        raise


def _tried(data: bytes, max_pixels: int, use: Callable[[Image.Image], T]) -> T:
    plugin = plugin_of(data)
    if not plugin:
        raise broken(data, None)
    try:
        with _guard(max_pixels), Image.open(io.BytesIO(data), formats=[plugin]) as im:
            if im.width * im.height > max_pixels:
                raise BadImage("too_many_pixels", f"{im.width} x {im.height} pixels, more than {max_pixels}")
            return use(im)
    except (BadImage, MemoryError):
        raise
    except Image.DecompressionBombError as e:
        raise BadImage("too_many_pixels", str(e)) from e
    except Exception as e:  # Pillow's plugins raise whatever their parsing runs into
        raise broken(data, e) from e


class _Guard:
    """Pillow with our limit in place of its own and without warnings, for as long as any thread is inside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._warnings: warnings.catch_warnings | None = None
        self._limit: int | None = None

    @contextlib.contextmanager
    def __call__(self, max_pixels: int) -> Iterator[None]:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.simplefilter("ignore")
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS or 0, max_pixels)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0 and self._warnings is not None:
                    self._warnings.__exit__(None, None, None)
                    Image.MAX_IMAGE_PIXELS = self._limit


_guard = _Guard()
