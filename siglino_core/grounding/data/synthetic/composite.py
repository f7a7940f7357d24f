"""A synthetic scene's picture: things laid on a background one by one, and what of each can be seen.

Legend: H and W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from siglino_core.evaluation.data.backgrounds import Size, background
from siglino_core.evaluation.data.cutouts import Cutout
from siglino_core.evaluation.data.scenes import all_visible, bounds, png, seen_of
from siglino_core.grounding.data.synthetic.level import Background, Level
from siglino_core.grounding.data.synthetic.things import SIZES, Thing, cut, drawn

PLACES, TRIES = 12, 4  # places that are tried for one object, and objects that are tried for each that is wanted
_NOBODY, _SOFT = -1, -2  # owners of a pixel that is no object's
_PALE = 0.25  # of its colour that a generated background keeps: no object is mistaken for it


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """An object of a scene.

    Attributes:
        box: (left, top, right, bottom) of what is visible, half-open.
        visible_HW: its pixels that can be seen, bool.
        whole_HW: the same with what others hide.
    """

    thing: Thing
    box: tuple[int, int, int, int]
    visible_HW: np.ndarray
    whole_HW: np.ndarray

    @property
    def centre(self) -> tuple[float, float]:
        """x and y of its box's centre, pixels."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, kw_only=True)
class Composite:
    """A scene: PNG, and its objects in the order in which they were laid down."""

    image: bytes
    objects: tuple[Placed, ...]


def composite(
    rng: np.random.Generator,
    level: Level,
    size: Size,
    cutouts: Sequence[Cutout] = (),
    photographs: Sequence[bytes] = (),
) -> Composite | None:
    """One scene by the next numbers of ``rng``; None: too few objects found a place.

    Raises:
        BadImage: a cut-out or a photograph cannot be decoded.
    """
    wanted = int(rng.integers(level.objects[0], level.objects[1] + 1))
    canvas = _background(rng, level, size, photographs)
    colours, shapes = _some(rng, level.colours, wanted), _some(rng, level.shapes, wanted)
    owners_HW = np.full(size, _NOBODY)
    wholes: list[np.ndarray] = []
    things: list[Thing] = []
    for _ in range(TRIES * wanted):
        if len(things) == wanted:
            break
        thing, layer = _drawn_or_cut(rng, level, min(size), cutouts, colours, shapes)
        if not level.repeats and any((t.noun, t.colour) == (thing.noun, thing.colour) for t in things):
            continue
        for _ in range(PLACES):
            if layer.width > size[1] or layer.height > size[0]:
                break
            at = int(rng.integers(size[1] - layer.width + 1)), int(rng.integers(size[0] - layer.height + 1))
            solid_HW, soft_HW = seen_of(layer, at, size)
            after_HW = np.where(solid_HW, len(things), np.where(soft_HW, _SOFT, owners_HW))
            if all_visible(after_HW, [*wholes, solid_HW], 1 - level.hidden):
                canvas.paste(layer.convert("RGB"), at, layer.getchannel("A"))
                owners_HW = after_HW
                wholes.append(solid_HW)
                things.append(thing)
                break
    if len(things) < level.objects[0]:
        return None
    placed = []
    for i, (thing, whole_HW) in enumerate(zip(things, wholes, strict=True)):
        visible_HW = owners_HW == i
        placed.append(Placed(thing=thing, box=bounds(visible_HW), visible_HW=visible_HW, whole_HW=whole_HW))
    return Composite(image=png(canvas), objects=tuple(placed))


def _some(rng: np.random.Generator, names: Sequence[str], wanted: int) -> list[str]:
    """A few of the names, so that objects of one scene have much in common."""
    count = min(len(names), max(2, (wanted + 1) // 2))
    return [names[int(i)] for i in rng.permutation(len(names))[:count]]


def _drawn_or_cut(
    rng: np.random.Generator,
    level: Level,
    side: int,
    cutouts: Sequence[Cutout],
    colours: Sequence[str],
    shapes: Sequence[str],
) -> tuple[Thing, Image.Image]:
    size = level.sizes[int(rng.integers(len(level.sizes)))]
    pixels = max(1, round(side * rng.uniform(*SIZES[size])))
    if cutouts and (not shapes or rng.random() < level.cutouts):
        labels = sorted({c.label for c in cutouts})
        label = labels[int(rng.integers(len(labels)))]
        of_label = [c for c in cutouts if c.label == label]
        chosen = of_label[int(rng.integers(len(of_label)))]
        return Thing(noun=label, colour=None, size=size), cut(chosen, pixels)
    noun, colour = (names[int(rng.integers(len(names)))] for names in (shapes, colours))
    return Thing(noun=noun, colour=colour, size=size), drawn(noun, colour, pixels)


def _background(rng: np.random.Generator, level: Level, size: Size, photographs: Sequence[bytes]) -> Image.Image:
    if level.background is Background.PLAIN:
        return Image.new("RGB", (size[1], size[0]), (int(rng.integers(60, 200)),) * 3)
    made = background(rng, size, photographs)
    return made if photographs else Image.blend(made.convert("L").convert("RGB"), made, _PALE)
