"""Real images for tests, whole and broken, made with Pillow."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from siglino_core.images.formats import TABLE, ready


def pixels(seed: int, size: tuple[int, int] = (48, 32)) -> Image.Image:
    """A smooth random RGB image of (width, height)."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return coarse.resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "jpeg", **options: Any) -> bytes:
    """The image as a file of one of `siglino_core.images.formats.FORMATS`, or of a name of Pillow's."""
    known = next((f for f in TABLE if f.name == kind), None)
    if known is not None:
        assert ready(known), f"no plugin for {kind} is installed"
    buffer = io.BytesIO()
    image.save(buffer, known.plugin if known is not None else kind, **options)
    return buffer.getvalue()


def picture(seed: int, kind: str = "jpeg", size: tuple[int, int] = (48, 32)) -> bytes:
    return encode(pixels(seed, size), kind)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG that claims a size; its pixels are whatever ``chunks`` say."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + png_chunk(b"IEND", b"")


def noise(seed: int, size: tuple[int, int] = (64, 64), kind: str = "png") -> bytes:
    """An image that does not compress: half of its file is still pixels."""
    rng = np.random.default_rng(seed)
    return encode(Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)), kind)


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


def broken() -> dict[str, tuple[bytes, str]]:
    """Every kind of file that is not a usable image, with the reason it must get."""
    jpeg, png = noise(1, kind="jpeg"), noise(2)
    return {
        "empty": (b"", "zero_size"),
        "random": (np.random.default_rng(0).bytes(5000), "not_an_image"),
        "html": (b"<!doctype html><html><body>404 Not Found</body></html>", "not_an_image"),
        "truncated_jpeg": (jpeg[: len(jpeg) // 2], "truncated"),
        "truncated_png": (png[: len(png) // 2], "truncated"),
        "corrupt_png": (flipped(png), "corrupt"),
        "bomb": (png_of(60_000, 60_000, png_chunk(b"IDAT", zlib.compress(bytes(10_000)))), "too_many_pixels"),
        "header_only": (jpeg[:20], "truncated"),
    }
