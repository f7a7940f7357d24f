"""Synthetic scenes: cut-outs pasted on a background, so that every pixel's class and every object's box is known.

Legend: H and W pixels.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from siglino_core.errors import DataError
from siglino_core.evaluation.data.backgrounds import Size, background
from siglino_core.evaluation.data.cutouts import CLEAR, SOLID, Cutout
from siglino_core.hashing import key_of

MOST_OBJECTS, ATTEMPTS, PLACES = 3, 12, 6  # PLACES that are tried for one cut-out, so that classes stay even
SMALLEST, LARGEST = 0.4, 0.75  # an object's longer side, as a share of the scene's shorter one
LEAST_VISIBLE = 0.5  # of an object's own pixels, under all that lies on it
LEAST_PIXELS = 16
BACKGROUND, EDGE = 0, 255  # in a mask
_NOBODY, _SOFT = -1, -2  # owners of a pixel that are no object


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneObject:
    """One object of a scene.

    Attributes:
        number: its class in the mask.
        box: (left, top, right, bottom) of what is visible, half-open: right and bottom lie outside.
        visible_HW: its pixels in the scene's mask, bool.
        whole_HW: the same with what other objects hide.
    """

    cutout_id: str
    label: str
    number: int
    box: tuple[int, int, int, int]
    visible_HW: np.ndarray
    whole_HW: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A scene; objects stand in the order they were laid down, so that later ones hide earlier ones.

    Attributes:
        image: PNG, RGB.
        mask: PNG of 8 or 16 bits: 0 is the background, 255 a soft edge, else a class's number.
    """

    image: bytes
    mask: bytes
    objects: tuple[SceneObject, ...]


def scene(
    cutouts: Sequence[Cutout],
    seed: int,
    index: int,
    size: Size = (224, 224),
    *,
    numbers: Mapping[str, int] | None = None,
    photographs: Sequence[bytes] = (),
) -> Scene:
    """One scene, which depends on the arguments alone: 1 to 3 objects, classes drawn evenly, then their cut-outs.

    An object keeps half of its pixels visible: where one would hide more of another, it is laid elsewhere or left out.

    Args:
        cutouts: usable ones, in any order.
        size: (height, width) in pixels.
        numbers: of the classes; None: the labels sorted, from 1.
        photographs: encoded, to be backgrounds in place of generated ones.

    Raises:
        BadImage: a cut-out or a photograph cannot be decoded.
        DataError: no cut-out of those that were drawn can be seen at this size, or there is none.
    """
    by_label: dict[str, list[Cutout]] = {}
    for cutout in sorted(cutouts, key=lambda c: c.cutout_id):
        by_label.setdefault(cutout.label, []).append(cutout)
    labels = sorted(by_label)
    if not labels:
        raise DataError("no cut-out to make a scene of")
    numbers = {label: i for i, label in enumerate(labels, 1)} if numbers is None else numbers
    rng = np.random.default_rng(key_of(seed, "synthetic scene", index))
    canvas = background(rng, size, photographs)
    owners_HW = np.full(size, _NOBODY)
    wholes: list[np.ndarray] = []
    used: list[Cutout] = []
    wanted = int(rng.integers(1, MOST_OBJECTS + 1))
    for _ in range(ATTEMPTS):
        of_label = by_label[labels[int(rng.integers(len(labels)))]]
        cutout = of_label[int(rng.integers(len(of_label)))]
        pixels = cutout.pixels()
        for _ in range(PLACES):
            layer, at = _placed(rng, pixels, size)
            solid_HW, soft_HW = seen_of(layer, at, size)
            after_HW = np.where(solid_HW, len(used), np.where(soft_HW, _SOFT, owners_HW))
            if all_visible(after_HW, [*wholes, solid_HW], LEAST_VISIBLE):
                canvas.paste(layer.convert("RGB"), at, layer.getchannel("A"))
                owners_HW = after_HW
                wholes.append(solid_HW)
                used.append(cutout)
                break
        if len(used) == wanted:
            break
    if not used:
        raise DataError(f"scene {index}: none of {ATTEMPTS} cut-outs can be seen on {size[0]} x {size[1]} pixels")
    table = np.array([*(numbers[c.label] for c in used), EDGE, BACKGROUND])  # the last two by _SOFT and _NOBODY
    kind = np.uint8 if table.max() <= EDGE else np.uint16
    objects = []
    for i, (cutout, whole_HW) in enumerate(zip(used, wholes, strict=True)):
        visible_HW = owners_HW == i
        record = SceneObject(
            cutout_id=cutout.cutout_id,
            label=cutout.label,
            number=numbers[cutout.label],
            box=bounds(visible_HW),
            visible_HW=visible_HW,
            whole_HW=whole_HW,
        )
        objects.append(record)
    return Scene(image=png(canvas), mask=png(Image.fromarray(table[owners_HW].astype(kind))), objects=tuple(objects))


def bounds(mask_HW: np.ndarray) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a mask's pixels, half-open; it has some."""
    rows, columns = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _placed(rng: np.random.Generator, im: Image.Image, size: Size) -> tuple[Image.Image, tuple[int, int]]:
    """A cut-out at a random size, and where its left upper corner lies; all of it is inside."""
    longer = rng.uniform(SMALLEST, LARGEST) * min(size)
    scale = longer / max(im.size)
    width, height = (max(1, round(side * scale)) for side in im.size)
    left, top = int(rng.integers(size[1] - width + 1)), int(rng.integers(size[0] - height + 1))
    return im.resize((width, height), Image.Resampling.LANCZOS), (left, top)


def seen_of(layer: Image.Image, at: tuple[int, int], size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Where a layer is surely seen, and where it is half seen: bool [H, W] each."""
    alpha_HW = np.zeros(size, np.uint8)
    alpha_HW[at[1] : at[1] + layer.height, at[0] : at[0] + layer.width] = np.asarray(layer.getchannel("A"))
    return alpha_HW >= SOLID, (alpha_HW > CLEAR) & (alpha_HW < SOLID)


def all_visible(owners_HW: np.ndarray, wholes: Sequence[np.ndarray], share: float) -> bool:
    """Whether of each object its share can be seen, and :data:`LEAST_PIXELS`; owners are places in ``wholes``."""
    for i, whole_HW in enumerate(wholes):
        if int((owners_HW == i).sum()) < max(LEAST_PIXELS, share * int(whole_HW.sum())):
            return False
    return True


def png(im: Image.Image) -> bytes:
    """Encoded, always the same bytes of the same pixels."""
    buffer = io.BytesIO()
    im.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
