"""Why a file is no usable image: one word from its bytes and from what the decoder said."""

from PIL import UnidentifiedImageError

FORMATS = ("jpeg", "png", "webp", "gif", "bmp", "tiff")
_MAGIC = (
    ("jpeg", 0, b"\xff\xd8\xff"),
    ("png", 0, b"\x89PNG\r\n\x1a\n"),
    ("webp", 8, b"WEBP"),
    ("gif", 0, b"GIF8"),
    ("bmp", 0, b"BM"),
    ("tiff", 0, b"II*\0"),
    ("tiff", 0, b"MM\0*"),
)
_OTHER_MAGIC = (
    ("AVIF or HEIF", 4, b"ftyp"),
    ("JPEG 2000", 4, b"jP  "),
    ("JPEG XL", 4, b"JXL "),
    ("JPEG XL", 0, b"\xff\x0a"),
    ("Photoshop", 0, b"8BPS"),
    ("icon", 0, b"\0\0\1\0"),
    ("SVG", 0, b"<svg"),
    ("Netpbm", 0, b"P5\n"),
    ("Netpbm", 0, b"P6\n"),
)


class BadImage(ValueError):  # noqa: N818
    """An image that cannot be used; ``reason`` is one word.

    zero_size, too_many_bytes, not_an_image, unsupported, too_many_pixels, too_small, too_narrow, truncated or corrupt.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message


def too_many_bytes(size: int, max_bytes: int) -> BadImage:
    """The error for a file that is longer than allowed, read or not."""
    return BadImage("too_many_bytes", f"{size} bytes, more than {max_bytes}")


def broken(data: bytes, error: Exception) -> BadImage:
    """The reason why ``data`` did not decode, given what the decoder raised."""
    kind = _by_magic(data, _MAGIC)
    if kind is None:
        other = _by_magic(data.lstrip(), _OTHER_MAGIC) or _by_magic(data, _OTHER_MAGIC)
        if other:
            return BadImage("unsupported", f"{other} is not among {', '.join(FORMATS)}")
        return BadImage("not_an_image", f"none of {', '.join(FORMATS)}: begins with {data[:12]!r}")
    if _cut_short(data, kind, str(error)):
        return BadImage("truncated", f"{kind} of {len(data)} bytes ends early")
    detail = "its header cannot be read" if isinstance(error, UnidentifiedImageError) else str(error)
    return BadImage("corrupt", f"{kind} of {len(data)} bytes: {detail}"[:300])


def _by_magic(data: bytes, table: tuple[tuple[str, int, bytes], ...]) -> str | None:
    return next((name for name, at, magic in table if data[at : at + len(magic)] == magic), None)


def _cut_short(data: bytes, kind: str, error: str) -> bool:
    """Whether a file that doesn't decode lacks its end, by what its format says of its end."""
    match kind:
        case "jpeg":
            return b"\xff\xd9" not in data[-64:]
        case "png":
            return b"IEND" not in data[-64:]
        case "gif":
            return not data.rstrip(b"\0").endswith(b";")
        case "webp":
            return int.from_bytes(data[4:8], "little") + 8 > len(data)
        case "bmp":
            return int.from_bytes(data[2:6], "little") > len(data)
        case _:
            order = "little" if data[:2] == b"II" else "big"
            directory = int.from_bytes(data[4:8], order)
            entries = int.from_bytes(data[directory : directory + 2], order)
            return directory + 2 + 12 * entries > len(data) or "truncated" in error.lower()
