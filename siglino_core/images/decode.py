"""Encoded images, safely: what they are, whether they are whole, and their pixels as RGB."""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from siglino_core.config import Verify
from siglino_core.images.reasons import FORMATS, BadImage, broken, too_many_bytes

__all__ = ["FORMATS", "BadImage", "ImageInfo", "decode", "probe"]

_PLUGINS = [name.upper() for name in FORMATS]
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


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
    with _opened(data, max_pixels, max_bytes) as im:
        kind = _kind(im)
        width, height = im.size
        if verify is Verify.DECODE:
            im.draft("L", (1, 1))  # JPEG at 1/8: all of the data is read, a 64th of the pixels are made
            im.load()
        # A TIFF reports and decodes its size as shown.
        if kind != "tiff" and _orientation(im) >= 5:
            width, height = height, width
        return ImageInfo(kind, width, height)


def decode(data: bytes, *, max_pixels: int, max_bytes: int, draft: int | None = None) -> Image.Image:
    """The first frame as an RGB image: upright by its EXIF orientation, transparency over white, 8 bits.

    Args:
        draft: a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, but its short side keeps this many pixels.

    Raises:
        BadImage: it cannot be used.
    """
    with _opened(data, max_pixels, max_bytes) as im:
        if draft:
            im.draft("RGB", (draft, draft))
        im.load()
        turn = None if _kind(im) == "tiff" else _TRANSPOSED.get(_orientation(im))
        rgb = _rgb(im)
        return rgb if turn is None else rgb.transpose(turn)


@contextlib.contextmanager
def _opened(data: bytes, max_pixels: int, max_bytes: int) -> Iterator[Image.Image]:
    if not data:
        raise BadImage("zero_size", "the file is empty")
    if len(data) > max_bytes:
        raise too_many_bytes(len(data), max_bytes)
    try:
        with _guard(max_pixels), Image.open(io.BytesIO(data), formats=_PLUGINS) as im:
            if im.width * im.height > max_pixels:
                raise BadImage("too_many_pixels", f"{im.width} x {im.height} pixels, more than {max_pixels}")
            yield im
    except (BadImage, MemoryError):
        raise
    except Image.DecompressionBombError as e:
        raise BadImage("too_many_pixels", str(e)) from e
    except Exception as e:  # Pillow's plugins raise whatever their parsing runs into
        raise broken(data, e) from e


def _kind(im: Image.Image) -> str:
    name = (im.format or "").lower()
    return "jpeg" if name == "mpo" else name


def _orientation(im: Image.Image) -> int:
    if "exif" not in im.info:  # asking anyway would decode a PNG
        return 1
    try:
        return int(im.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF is no reason to drop an image
        return 1


def _rgb(im: Image.Image) -> Image.Image:
    if im.mode.startswith("I") or im.mode == "F":
        im = _to_8_bits(im)
    if im.has_transparency_data:
        layer = im.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return im.convert("RGB") if im.mode != "RGB" else im.copy()


def _to_8_bits(im: Image.Image) -> Image.Image:
    """Grey levels of more than 8 bits: 16 bits by their range, longer ones by the image's own."""
    pixels = np.nan_to_num(np.asarray(im).astype(np.float64))
    low, high = 0.0, 65535.0
    if not im.mode.startswith("I;16") and (im.mode == "F" or pixels.max() > high or pixels.min() < 0):
        low, high = pixels.min(), max(pixels.max(), pixels.min() + 1e-9)
    return Image.fromarray(((pixels - low) * (255.0 / (high - low))).round().astype(np.uint8))


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
