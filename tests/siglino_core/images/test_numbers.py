"""Masks of every depth give the numbers that were stored, and pictures give none."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from siglino_core.images.decode import BadImage
from siglino_core.images.numbers import class_numbers
from tests.pictures import encode, pixels, png_chunk


def read(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as im:
        return class_numbers(im, data)


def grey(bits: int, row: bytes, width: int) -> bytes:
    """A PNG of one row of grey levels, which Pillow writes of 1, 8 and 16 bits only."""
    head = png_chunk(b"IHDR", width.to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([bits, 0, 0, 0, 0]))
    body = png_chunk(b"IDAT", zlib.compress(b"\0" + row)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + body


@pytest.mark.parametrize(
    ("bits", "row", "numbers"),
    [
        (1, b"\x60", [0, 1, 1, 0]),
        (2, b"\x1b", [0, 1, 2, 3]),
        (4, b"\x01\x9f", [0, 1, 9, 15]),
        (8, b"\x00\x01\x96\xff", [0, 1, 150, 255]),
        (16, b"\x00\x00\x00\x01\x01\x2c\xff\xff", [0, 1, 300, 65535]),
    ],
)
def test_levels_of_any_depth(bits: int, row: bytes, numbers: list[int]) -> None:
    found = read(grey(bits, row, 4))
    assert found.tolist() == [numbers]
    assert found.dtype == (np.uint16 if bits == 16 else np.uint8)


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff"])
def test_a_palettes_indices_are_read_and_not_its_colours(kind: str) -> None:
    im = Image.fromarray(np.array([[0, 1, 20, 255]], np.uint8)).convert("P")
    im.putpalette([7, 9, 200] * 256 if kind == "png" else list(range(256)) * 3)
    assert read(encode(im, kind)).tolist() == [[0, 1, 20, 255]]


@pytest.mark.parametrize(
    "data",
    [
        encode(pixels(1), "png"),
        encode(pixels(1).convert("RGBA"), "png"),
        encode(pixels(1).convert("LA"), "png"),
        encode(pixels(1).convert("L"), "jpeg"),
        encode(pixels(1), "webp", lossless=True),
    ],
)
def test_pictures_are_no_masks(data: bytes) -> None:
    with pytest.raises(BadImage) as caught:
        read(data)
    assert caught.value.reason == "colours"
