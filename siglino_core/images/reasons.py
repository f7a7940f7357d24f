"""Why a file is no usable image: one word from its bytes and from what the decoder said."""

from PIL import UnidentifiedImageError

from siglino_core.images.formats import FORMATS, by_magic

_OTHER_MAGIC = (
    ("a video, or an image of its family", 4, b"ftyp"),
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


def broken(data: bytes, error: Exception | None) -> BadImage:
    """The reason why ``data`` did not decode, given what the decoder raised; None: there was no decoder for it."""
    kind = by_magic(data)
    if kind is None:
        other = _other(data.lstrip()) or _other(data)
        if other:
            return BadImage("unsupported", f"{other} is not among {', '.join(FORMATS)}")
        return BadImage("not_an_image", f"none of {', '.join(FORMATS)}: begins with {data[:12]!r}")
    if error is None:
        mend = "pip install 'siglino[formats]' reads it" if kind.package else "this Pillow was built without it"
        return BadImage("unsupported", f"{kind.name} is not read here: {mend}")
    if _cut_short(data, kind.name, str(error)):
        return BadImage("truncated", f"{kind.name} of {len(data)} bytes ends early")
    detail = "its header cannot be read" if isinstance(error, UnidentifiedImageError) else str(error)
    return BadImage("corrupt", f"{kind.name} of {len(data)} bytes: {detail}"[:300])


def _other(data: bytes) -> str | None:
    return next((name for name, at, magic in _OTHER_MAGIC if data[at : at + len(magic)] == magic), None)


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
        case "jxl":
            return "premature" in error.lower() or "truncated" in error.lower() or _boxes_end(data) > len(data)
        case "jp2":
            return not data.endswith(b"\xff\xd9")
        case "avif" | "heic":
            return _boxes_end(data) > len(data)
        case _:
            order = "little" if data[:2] == b"II" else "big"
            directory = int.from_bytes(data[4:8], order)
            entries = int.from_bytes(data[directory : directory + 2], order)
            return directory + 2 + 12 * entries > len(data) or "truncated" in error.lower()


def _boxes_end(data: bytes) -> int:
    """Where the boxes of an ISO file, each of which tells its length, would end."""
    at = 0
    while at + 16 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        length = int.from_bytes(data[at + 8 : at + 16], "big") if length == 1 else length
        if length < 8:  # 0: to the file's end
            return len(data)
        at += length
    return at
