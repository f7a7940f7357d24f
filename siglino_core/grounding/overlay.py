"""Answers drawn on their image: boxes with scores, masks half transparent, the true boxes dashed.

Legend: H and W pixels, K instances.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from siglino_core.grounding.predict import Instance
from siglino_core.models.inputs import picture

# Brighter than most things are, and of different lightness; an instance's is its place's.
COLOURS = ((0, 220, 255), (255, 70, 200), (180, 255, 60), (255, 150, 0), (150, 110, 255), (255, 240, 90), (255, 80, 60))
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
OPACITY = 0.5  # of a mask
Box = tuple[int, int, int, int]


def draw(image: Any, instances: Sequence[Instance], true_boxes: Iterable[Sequence[float]] | None = None) -> Image.Image:
    """A new RGB image of the same size with everything on it.

    A line has a dark rim, so that it shows on any background. A box that is empty, inverted, not finite or outside the
    image is not drawn, and neither is a mask of another size.

    Args:
        image: as `siglino_core.grounding.predict.predict` takes it: a Pillow image, an array, a path, bytes.
        instances: of one expression; each has the colour of its place.
        true_boxes: left, top, right, bottom in pixels each; drawn dashed, in white on black.

    Raises:
        ValueError: it is no image.
        OSError: a file cannot be read, or is no image.
    """
    pixels_HW3 = np.array(picture(image), np.float32)
    for i, one in enumerate(instances):
        if one.mask is not None and one.mask.shape == pixels_HW3.shape[:2]:
            colour = np.array(COLOURS[i % len(COLOURS)], np.float32)
            pixels_HW3[one.mask] = (1 - OPACITY) * pixels_HW3[one.mask] + OPACITY * colour
    canvas = Image.fromarray(pixels_HW3.round().astype(np.uint8))
    pen = ImageDraw.Draw(canvas)
    width = max(1, round(max(canvas.size) / 250))
    for box in true_boxes or ():
        if (whole := _inside(box, canvas.size)) is not None:
            _dashed(pen, whole, width)
    for i, one in enumerate(instances):
        if (whole := _inside(one.box_xyxy, canvas.size)) is not None:
            colour = COLOURS[i % len(COLOURS)]
            _rectangle(pen, whole, width, colour)
            _label(pen, whole, f"{one.score:.2f}", colour, canvas.size)
    return canvas


def _inside(box: Sequence[float], size: tuple[int, int]) -> Box | None:
    """The box's outermost pixels, at the image's edges if it goes beyond; None: there is nothing to draw."""
    values = [float(v) for v in box]
    if len(values) != 4 or not all(map(math.isfinite, values)):
        return None
    left, top, right, bottom = values
    if left >= right or top >= bottom or left >= size[0] or top >= size[1] or right <= 0 or bottom <= 0:
        return None
    x0, y0 = max(0, math.floor(left)), max(0, math.floor(top))
    x1, y1 = min(size[0], math.ceil(right)) - 1, min(size[1], math.ceil(bottom)) - 1
    return x0, y0, max(x0, x1), max(y0, y1)


def _rectangle(pen: ImageDraw.ImageDraw, box: Box, width: int, colour: tuple[int, int, int]) -> None:
    """A coloured frame inside the box, with a dark rim on both sides of it."""
    for inset, line, paint in ((0, 3 * width, BLACK), (width, width, colour)):
        x0, y0, x1, y1 = box[0] + inset, box[1] + inset, box[2] - inset, box[3] - inset
        if x0 <= x1 and y0 <= y1:
            pen.rectangle((x0, y0, x1, y1), outline=paint, width=line)
        elif paint is not BLACK:  # too small for a rim
            pen.rectangle(box, outline=paint)


def _dashed(pen: ImageDraw.ImageDraw, box: Box, width: int) -> None:
    x0, y0, x1, y1 = box
    pen.rectangle(box, outline=BLACK, width=width + 1)
    dash = 4 * width
    for start, end in _dashes(x0, x1, dash):
        for y in (y0, y1 - width + 1):
            pen.rectangle((start, y, end, max(y, y + width - 1)), fill=WHITE)
    for start, end in _dashes(y0, y1, dash):
        for x in (x0, x1 - width + 1):
            pen.rectangle((x, start, max(x, x + width - 1), end), fill=WHITE)


def _dashes(first: int, last: int, dash: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last + 1, 2 * dash):
        yield start, min(last, start + dash - 1)


def _label(pen: ImageDraw.ImageDraw, box: Box, text: str, colour: tuple[int, int, int], size: tuple[int, int]) -> None:
    """The score on a plate above the box; inside it where there is no room above."""
    font = ImageFont.load_default(max(9, round(max(size) / 32)))
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = math.ceil(right - left) + 4, math.ceil(bottom - top) + 4
    x = max(0, min(box[0], size[0] - width))
    y = box[1] - height if box[1] >= height else min(box[1], max(0, size[1] - height))
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    pen.text((x + 2 - left, y + 2 - top), text, font=font, fill=BLACK if bright else WHITE)
