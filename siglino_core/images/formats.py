"""The encodings that images are read in: how their bytes begin, and which of Pillow's plugins decodes them."""

import importlib
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Format:
    """One encoding.

    Attributes:
        name: as in `siglino_core.schema.SOURCE`, column ``format``.
        plugin: Pillow's name of its decoder.
        magic: (byte, text): what stands there in its files; any of them will do.
        package: that brings the decoder, where Pillow has none of its own; it is in the extra ``formats``.
    """

    name: str
    plugin: str
    magic: tuple[tuple[int, bytes], ...]
    package: str = ""


_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
TABLE = (
    Format(name="jpeg", plugin="JPEG", magic=((0, b"\xff\xd8\xff"),)),
    Format(name="png", plugin="PNG", magic=((0, b"\x89PNG\r\n\x1a\n"),)),
    Format(name="webp", plugin="WEBP", magic=((8, b"WEBP"),)),
    Format(name="gif", plugin="GIF", magic=((0, b"GIF8"),)),
    Format(name="bmp", plugin="BMP", magic=((0, b"BM"),)),
    Format(name="tiff", plugin="TIFF", magic=((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+"))),
    Format(name="avif", plugin="AVIF", magic=((4, b"ftypavif"), (4, b"ftypavis"))),
    Format(name="jp2", plugin="JPEG2000", magic=((4, b"jP  \r\n"), (0, b"\xff\x4f\xff\x51"))),
    Format(name="heic", plugin="HEIF", magic=tuple((4, b"ftyp" + b) for b in _BRANDS), package="pillow_heif"),
    Format(name="jxl", plugin="JXL", magic=((0, b"\xff\x0a"), (4, b"JXL \r\n")), package="pillow_jxl"),
)
FORMATS = tuple(f.name for f in TABLE)
_NAMES = {f.plugin: f.name for f in TABLE} | {"MPO": "jpeg"}


def by_magic(data: bytes) -> Format | None:
    """The format that the first bytes claim."""
    return next((f for f in TABLE if any(data[at : at + len(magic)] == magic for at, magic in f.magic)), None)


def name_of(image: Image.Image) -> str:
    """The format's name of an image that Pillow has opened."""
    return _NAMES.get(image.format or "", "")


def plugin_of(data: bytes) -> str:
    """Pillow's decoder for these bytes, ready for use; empty: there is none, or it is not installed.

    One is asked and no other: whoever made the file does not choose among all decoders.
    """
    found = by_magic(data)
    if found is not None and found.name == "heic" and b"avif" in data[8:64]:
        found = next(f for f in TABLE if f.name == "avif")  # a general brand, and the coding among the compatible ones
    return found.plugin if found is not None and ready(found) else ""


@lru_cache
def ready(kind: Format) -> bool:
    """Whether Pillow can read it here; what another package brings is registered with Pillow by the way."""
    Image.preinit()
    if kind.package:
        try:
            module = importlib.import_module(kind.package)
        except ImportError:
            return False
        if kind.package == "pillow_heif":
            module.register_heif_opener(thumbnails=False)
    if kind.plugin not in Image.OPEN:
        Image.init()
    return kind.plugin in Image.OPEN
