"""Images that a curation run must cope with: broken files, junk, and near-duplicates of good ones."""

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

BROKEN_KINDS = (
    "zero_size", "not_an_image", "html_page", "truncated_jpeg", "truncated_png", "corrupt_png",
    "decompression_bomb", "too_small_header",
)  # fmt: skip
NEAR_KINDS = ("recoded", "rescaled", "cropped", "brightness")
MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"RIFF\x24\x00\x00\x00WEBP")
WORDS = (
    "loading", "please", "wait", "page", "not", "found", "sale", "today", "only", "terms", "apply", "image",
    "removed", "click", "here", "continue", "copyright", "notice", "sample", "text", "lorem", "draft",
)  # fmt: skip


def decodes(data: bytes) -> bool:
    """Whether Pillow reads the whole file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                image.load()
    except Exception:
        return False
    return True


def encode(image: Image.Image, kind: str, quality: int = 80) -> bytes:
    """Encodes without metadata. JPEG has no alpha channel: its image lies on white."""
    out = io.BytesIO()
    if kind == "jpeg":
        flatten(image).save(out, "JPEG", quality=quality, optimize=True)
    elif kind == "webp":
        image.save(out, "WEBP", quality=quality, alpha_quality=80, method=6)
    else:
        image.save(out, "PNG", optimize=True)
    return out.getvalue()


def flatten(image: Image.Image) -> Image.Image:
    """The image on white, without an alpha channel."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def near_duplicate(image: Image.Image, kind: str, rng: np.random.Generator) -> Image.Image:
    """The same picture, slightly off: 5 to 20% smaller or larger, 2 to 4% cropped, or a little brighter."""
    width, height = image.size
    if kind == "rescaled":
        factor = 1 + rng.choice([-1, 1]) * rng.uniform(0.05, 0.2)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        return image.resize(size, Image.Resampling.BICUBIC)
    if kind == "cropped":
        left, top, right, bottom = (round(side * rng.uniform(0.02, 0.04)) for side in (width, height) * 2)
        return image.crop((left, top, width - right, height - bottom))
    if kind == "brightness":
        return ImageEnhance.Brightness(image).enhance(1 + rng.choice([-1, 1]) * rng.uniform(0.05, 0.12))
    return image


def junk(kind: str, rng: np.random.Generator) -> Image.Image:
    """A picture of nothing: `noise`, `flat` or `text`."""
    width, height = (int(side) for side in rng.integers(96, 161, 2))
    if kind == "noise":
        coarse = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
        return Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST)
    if kind == "flat":
        return Image.new("RGB", (width, height), tuple(int(v) for v in rng.integers(0, 256, 3)))
    image = Image.new("RGB", (width, height), "white")
    font = ImageFont.load_default(int(rng.integers(12, 22)))
    lines = [" ".join(rng.choice(WORDS, 3)) for _ in range(8)]
    ImageDraw.Draw(image).multiline_text((-10, 2), "\n".join(lines), fill="black", font=font)
    return image


def broken(kind: str, number: int, images: list[Image.Image], rng: np.random.Generator) -> tuple[str, bytes]:
    """File suffix and bytes of the number-th broken file of a kind; none of them decodes."""
    image = flatten(images[number % len(images)])
    if kind == "zero_size":
        return (".jpg", ".png", ".webp")[number % 3], b""
    if kind == "not_an_image":
        return ".jpg", rng.bytes(400 + 100 * number)
    if kind == "html_page":
        code = (403, 404, 503)[number % 3]
        return ".jpg", f"<!DOCTYPE html><html><head><title>{code}</title></head></html>".encode()
    if kind == "truncated_jpeg":
        data = encode(image, "jpeg")
        return ".jpg", data[: len(data) * (4 + 2 * number) // 10]
    if kind == "truncated_png":
        data = encode(image, "png")
        return ".png", data[: len(data) * (4 + 2 * number) // 10]
    if kind == "corrupt_png":
        return ".png", _corrupt(encode(image, "png"), rng)
    if kind == "decompression_bomb":
        return ".png", _bomb(50_000, 50_000)
    magic = MAGICS[number % len(MAGICS)]
    return (".png", ".jpg", ".webp")[number % 3], magic


def _corrupt(png: bytes, rng: np.random.Generator) -> bytes:
    start = png.index(b"IDAT") + 4
    length = struct.unpack(">I", png[start - 8 : start - 4])[0]
    while True:
        data = bytearray(png)
        for offset in rng.integers(length // 4, length // 2, 12):
            data[start + int(offset)] ^= 0xFF
        if not decodes(bytes(data)):
            return bytes(data)


def _bomb(width: int, height: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return MAGICS[0] + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
