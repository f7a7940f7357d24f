"""From an opened image of any mode to RGB as a viewer shows it: upright, over white, 8 bits.

Training and the exported image processor see pictures through this one function. Whatever it goes by outlives loading:
an image that was loaded before it came here, and whose file is closed, gives the same pixels.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED_BY_DECODER = ("TIFF", "HEIF", "JXL")
_CARRIES_ORIENTATION = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
_ORIENTATION = 0x0112
_PHOTOMETRIC, _BITS = 0x0106, 0x0102  # a TIFF's tags
_BAND_PIXELS = 1 << 20  # converted at once, so that a large image needs little beside itself
_CAMERA_RANGES = (1023, 4095, 16383, 65535)  # of 10, 12, 14 and 16 bits
_REAL_RANGES = (1.0, 255.0, 65535.0)  # that real numbers are written in; an image fills a quarter of its own at least


def to_rgb(im: Image.Image) -> Image.Image:
    """The image as RGB: turned as its EXIF or XMP asks, transparency over white, 8 bits a channel. Loads it.

    Levels of more than 8 bits are scaled: PNG's by 16 bits, a TIFF's by the camera's range that they lie in (10, 12, 14
    or 16 bits), real numbers by 1, 255 or 65535, and grey that fits none of these by the image's own range. Of 16 bits
    of colour Pillow keeps the upper 8, so that a TIFF's colours of 12 bits become bright and remain coarse.
    """
    _load(im)  # first: a PNG may say at its end how it is turned
    turn = _TRANSPOSED.get(orientation(im))
    if im.mode.startswith("I") or im.mode == "F":
        rgb = _grey(im).convert("RGB")
    elif im.has_transparency_data:
        rgb = Image.new("RGB", im.size)
        for box in _bands(im.size):
            layer = _layer(im.crop(box))
            white = Image.new("RGBA", layer.size, "white")
            rgb.paste(Image.alpha_composite(white, layer).convert("RGB"), box[:2])
    else:
        rgb = im.convert("RGB") if im.mode != "RGB" else _brightened(im)
    rgb = rgb if turn is None else rgb.transpose(turn)
    rgb.info = {}  # what it said has been done, and is not done again
    return rgb


def to_rgba(im: Image.Image) -> Image.Image:
    """The image as RGBA, turned as its EXIF or XMP asks; opaque where it tells no transparency. Loads it.

    Deep grey is opaque: what it says of transparency lies over white.
    """
    _load(im)
    if im.mode.startswith("I") or im.mode == "F" or not im.has_transparency_data:
        return to_rgb(im).convert("RGBA")
    turn = _TRANSPOSED.get(orientation(im))
    layer = _layer(im)
    layer = layer if turn is None else layer.transpose(turn)
    layer.info = {}
    return layer


def orientation(im: Image.Image) -> int:
    """EXIF's number for how the stored pixels are turned: 1 is upright; 5 and more swap width and height."""
    if im.format in _TURNED_BY_DECODER or not any(k in im.info for k in _CARRIES_ORIENTATION):
        return 1  # asking anyway would decode a PNG
    try:
        return int(im.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF is no reason to drop an image
        return 1


def _load(im: Image.Image) -> None:
    """Load, and map no TIFF's file: Pillow would map it by the size that it has when it is turned."""
    name = getattr(im, "filename", "")
    if im.format != "TIFF" or not name:
        im.load()
        return
    im.filename = ""  # type: ignore[attr-defined]
    try:
        im.load()
    finally:
        im.filename = name  # type: ignore[attr-defined]


def _bands(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Boxes of whole rows that cover an image, from the top."""
    width, height = size
    rows = max(1, _BAND_PIXELS // max(1, width))
    for top in range(0, height, rows):
        yield 0, top, width, min(height, top + rows)


def _layer(im: Image.Image) -> Image.Image:
    """An image with transparency as RGBA."""
    clear = im.info.get("transparency")
    if im.mode == "RGB" and isinstance(clear, tuple) and max(clear) > 255:  # a PNG's of 16 bits, read as its upper 8
        im.info["transparency"] = tuple(level >> 8 for level in clear)
    return (im.convert("LA") if im.mode == "La" else im).convert("RGBA")


def _brightened(im: Image.Image) -> Image.Image:
    """A copy of an RGB image; colours of a camera's range in a TIFF of 16 bits over all of the 8 bits."""
    if im.format == "TIFF" and getattr(im, "tag_v2", {}).get(_BITS) == (16, 16, 16):
        highest = np.asarray(im).max()
        top = next(r >> 8 for r in _CAMERA_RANGES if highest <= r >> 8)
        return im.point([min(255, round(level * 255 / top)) for level in range(256)] * 3)
    return im.copy()


def _grey(im: Image.Image) -> Image.Image:
    low, high = _range(im)
    clear = im.info.get("transparency")
    grey = Image.new("L", im.size)
    for box in _bands(im.size):
        stored = np.asarray(im.crop(box))
        levels = np.nan_to_num(stored.astype(np.float64))
        scaled = ((levels - low) * (255.0 / (high - low))).clip(0, 255).round().astype(np.uint8)
        shown = 255 - scaled if _white_is_zero(im) else scaled
        if clear is not None:
            shown = np.where(stored == clear, np.uint8(255), shown)
        grey.paste(Image.fromarray(shown), box[:2])
    return grey


def _white_is_zero(im: Image.Image) -> bool:
    """Whether a TIFF counts from white to black, which Pillow heeds up to 8 bits."""
    return getattr(im, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def _range(im: Image.Image) -> tuple[float, float]:
    """The grey levels that become black and white."""
    low, high = np.inf, -np.inf
    for box in _bands(im.size):
        levels = np.nan_to_num(np.asarray(im.crop(box)).astype(np.float64))
        low, high = min(low, levels.min()), max(high, levels.max())
    usual = [r for r in _REAL_RANGES if low >= 0 and r / 4 <= high <= r]
    if im.mode == "F" and usual:
        return 0.0, usual[0]
    if im.mode == "F" or high > _CAMERA_RANGES[-1] or low < 0:
        return low, max(high, low + 1e-9)
    if im.format == "TIFF":
        return 0.0, float(next(r for r in _CAMERA_RANGES if high <= r))
    return 0.0, float(_CAMERA_RANGES[-1])
