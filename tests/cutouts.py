"""Cut-outs for tests: shapes with soft edges on nothing."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from siglino_core.evaluation.data.cutouts import Cutout
from tests.pictures import encode

LABELS = ("disc", "box", "bar")


def shape(label: str, seed: int, kind: str = "png") -> bytes:
    """An RGBA image of 60 x 48 pixels; the outline's pixels are half transparent."""
    rng = np.random.default_rng(seed)
    alpha = Image.new("L", (60, 48))
    draw, left, top = ImageDraw.Draw(alpha), int(rng.integers(4, 12)), int(rng.integers(4, 10))
    match label:
        case "disc":
            draw.ellipse((left, top, left + 36, top + 30), fill=255)
        case "box":
            draw.rectangle((left, top, left + 30, top + 28), fill=255)
        case _:
            draw.rectangle((left, top + 8, left + 44, top + 20), fill=255)
    colour = tuple(int(level) for level in rng.integers(0, 256, 3))
    im = Image.new("RGB", alpha.size, colour)
    im.putalpha(alpha.filter(ImageFilter.BoxBlur(1)))
    return encode(im, kind)


def cutouts(count: int = 30, kind: str = "png") -> list[Cutout]:
    """Of each label as many as of the others."""
    return [
        Cutout(cutout_id=f"{LABELS[i % 3]}/{i:03}.png", data=shape(LABELS[i % 3], i, kind), label=LABELS[i % 3])
        for i in range(count)
    ]
