"""What lies in a synthetic scene: drawn shapes in named colours and sizes, and cut-outs with their labels.

Legend: S pixels of a shape's side; C corners.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from siglino_core.evaluation.data.cutouts import CLEAR, Cutout
from siglino_core.grounding.data.polygons import filled

COLOURS = {
    "red": (214, 39, 40),
    "green": (34, 150, 60),
    "blue": (40, 80, 220),
    "yellow": (240, 215, 30),
    "purple": (140, 50, 180),
    "orange": (255, 130, 20),
}
PLURALS = {
    "circle": "circles",
    "square": "squares",
    "triangle": "triangles",
    "star": "stars",
    "ring": "rings",
    "cross": "crosses",
}
"""The shapes, each with its plural."""
SHAPE, SHAPES = "shape", "shapes"  # any of them
SIZES = {"small": (0.13, 0.18), "medium": (0.23, 0.28), "large": (0.36, 0.44)}
"""An object's longer side as a share of the scene's shorter one; with gaps, so that no size is in doubt."""


@dataclass(frozen=True, kw_only=True)
class Thing:
    """What is said of an object.

    Attributes:
        noun: a shape's name or a cut-out's label.
        colour: of :data:`COLOURS`; None of a cut-out, whose colour nobody named.
        size: of :data:`SIZES`.
    """

    noun: str
    colour: str | None
    size: str

    @property
    def drawn(self) -> bool:
        """Whether it is a drawn shape."""
        return self.colour is not None


def drawn(noun: str, colour: str, side: int) -> Image.Image:
    """A shape as an RGBA image of ``side`` x ``side`` pixels without soft edges: each pixel is all its own or clear."""
    mask_SS = _DRAWN[noun](side)
    pixels_SS4 = np.zeros((side, side, 4), np.uint8)
    pixels_SS4[mask_SS] = (*COLOURS[colour], 255)
    return Image.fromarray(pixels_SS4)


def cut(cutout: Cutout, side: int) -> Image.Image:
    """A cut-out as an RGBA image whose longer side has ``side`` pixels; what is not it changes no pixel under it.

    Raises:
        BadImage: it cannot be decoded.
    """
    im = cutout.pixels()
    scale = side / max(im.size)
    width, height = (max(1, round(length * scale)) for length in im.size)
    im = im.resize((width, height), Image.Resampling.LANCZOS)
    im.putalpha(im.getchannel("A").point([0 if level <= CLEAR else level for level in range(256)]))
    return im


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the pixels' centres, from -1 to 1."""
    at_S = (np.arange(side) + 0.5) / side * 2 - 1
    return at_S[None, :], at_S[:, None]


def _circle(side: int) -> np.ndarray:
    x, y = _grid(side)
    return x**2 + y**2 <= 1


def _ring(side: int) -> np.ndarray:
    x, y = _grid(side)
    return (x**2 + y**2 <= 1) & (x**2 + y**2 >= 0.3)


def _square(side: int) -> np.ndarray:
    return np.ones((side, side), bool)


def _triangle(side: int) -> np.ndarray:
    x, y = _grid(side)
    return 2 * np.abs(x) <= y + 1


def _cross(side: int) -> np.ndarray:
    x, y = _grid(side)
    return (np.abs(x) <= 1 / 3) | (np.abs(y) <= 1 / 3)


def _star(side: int) -> np.ndarray:
    angles_C = np.pi * (np.arange(10) / 5 - 0.5)
    radius_C = np.where(np.arange(10) % 2 == 0, 1.0, 0.45) * side / 2
    corners_C2 = np.stack([radius_C * np.cos(angles_C), radius_C * np.sin(angles_C)], 1)
    corners_C2 -= corners_C2.min(0)
    return filled([(corners_C2 * side / corners_C2.max()).ravel().tolist()], side, side)


_DRAWN: dict[str, Callable[[int], np.ndarray]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}
