"""Encoded bytes of any image -> a small WebP or JPEG data URI, within a budget; a bad image gives none."""

import base64
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, features

MAX_PIXELS = 89_478_485  # Pillow's own bomb limit
WEBP = features.check("webp")


@dataclass(frozen=True)
class Rung:
    """A quality: pixels of the longer side, and the encoder's quality."""

    edge: int
    quality: int


LADDER = (Rung(144, 74), Rung(112, 66), Rung(96, 58), Rung(80, 50), Rung(64, 42), Rung(48, 34))


def thumbnail(data: bytes | None, rung: Rung) -> str | None:
    """A data URI, or None where the bytes are no image that can be shown."""
    if not data:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    return None
                image.draft("RGB", (2 * rung.edge, 2 * rung.edge))
                if image.mode in ("RGB", "RGBA", "L"):
                    image.thumbnail((4 * rung.edge, 4 * rung.edge), Image.Resampling.BOX)
                small = _flat(_eight_bit(ImageOps.exif_transpose(image)))
        small.thumbnail((rung.edge, rung.edge), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        if WEBP:
            small.save(out, "WEBP", quality=rung.quality, method=4)
        else:
            small.save(out, "JPEG", quality=rung.quality, optimize=True)
    except Exception:  # a decoder may raise anything on hostile bytes: all of it means "cannot be shown"
        return None
    kind = "webp" if WEBP else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"


def _eight_bit(image: Image.Image) -> Image.Image:
    """Deep grey images stretched to 8 bits; others as they are."""
    if image.mode[0] not in "IF":
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low, high = float(values.min()), float(values.max())
    return Image.fromarray(((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8))


def _flat(image: Image.Image) -> Image.Image:
    """RGB, what is transparent on white."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")


def fit(images: Sequence[bytes | None], budget: int, ladder: Sequence[Rung] = LADDER) -> list[str | None]:
    """A thumbnail for every image, the best rung of a ladder whose sum stays within ``budget`` characters.

    Below the last rung the number falls: an even choice of the images keeps theirs, the rest get None.
    """
    if not any(images):
        return [None] * len(images)
    probe = [d for d in images if d]
    probe = probe[:: max(1, len(probe) // 48)][:64]
    for rung in ladder:
        expected = sum(len(thumbnail(d, rung) or "") for d in probe) / len(probe) * sum(1 for d in images if d)
        if expected > budget and rung != ladder[-1]:
            continue
        share = min(1.0, budget / max(1.0, expected))
        made = _all(images, rung, budget, share, must=rung == ladder[-1])
        if made is not None:
            return made
    return [None] * len(images)


def _all(
    images: Sequence[bytes | None], rung: Rung, budget: int, share: float, *, must: bool
) -> list[str | None] | None:
    """Thumbnails of an even ``share`` of the images; over budget: None, or with ``must`` no further ones."""
    made: list[str | None] = []
    known: dict[bytes, str | None] = {}  # the same image is encoded once
    total = 0
    for i, data in enumerate(images):
        sizes = None
        if data and int((i + 1) * share) > int(i * share) and total < budget:
            if data not in known:
                known[data] = thumbnail(data, rung)
            sizes = known[data]
        if sizes is not None and total + len(sizes) > budget:
            if not must:
                return None
            sizes = None
        total += len(sizes or "")
        made.append(sizes)
    return made
