"""An image with expressions and what each refers to: the types that every reader makes and training takes.

Legend: K referents of an expression; H and W pixels; 4 = left, top, right, bottom.
"""

import math
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.foreign import printable

LONGEST = 1_000  # characters of an expression; what a tokenizer takes, it checks itself
MOST_BOXES = 10_000  # of an expression
SHOWN = 60  # characters of a text in a message


@dataclass(frozen=True, kw_only=True, eq=False)
class Expression:
    """A text and what it refers to.

    Attributes:
        boxes_K4: float32, pixels of the image, half-open: right and bottom lie outside. K = 0: what the text says is
            not in the image.
        masks: bool [H, W] each, of the boxes in their order; None: there are none.

    Raises:
        DataError: the text has no words or is too long, or boxes or masks are not what they must be in any image.
    """

    text: str
    boxes_K4: np.ndarray
    masks: tuple[np.ndarray, ...] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise DataError("an expression has no words: leave it out")
        if len(self.text) > LONGEST:
            raise DataError(f"{self.shown} has {len(self.text)} characters, more than {LONGEST}: leave it out")
        boxes = np.asarray(self.boxes_K4)
        if boxes.shape == (0,):
            boxes = boxes.reshape(0, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "fiu" or len(boxes) > MOST_BOXES:
            raise DataError(
                f"{self.shown} has boxes of shape {boxes.shape} and type {boxes.dtype}: it needs numbers "
                f"[K, 4], K at most {MOST_BOXES}"
            )
        object.__setattr__(self, "boxes_K4", boxes.astype(np.float32))
        if self.masks is None:
            return
        masks = tuple(self.masks)
        object.__setattr__(self, "masks", masks)
        if len(masks) != len(boxes):
            raise DataError(f"{self.shown} has {len(boxes)} boxes and {len(masks)} masks: each box needs its own")

    @property
    def shown(self) -> str:
        """The text in a message: one line, cut."""
        return f"the expression '{printable(self.text, SHOWN)}'"

    @property
    def absent(self) -> bool:
        """Whether it refers to nothing in the image."""
        return not len(self.boxes_K4)


@dataclass(frozen=True, kw_only=True, eq=False)
class Referring:
    """An image with its expressions.

    Attributes:
        image_id: its data set and its id there, such as ``coco/581857``: the same wherever the image is used.
        data: encoded, PNG or JPEG; ``width`` and ``height`` are its size in pixels.
        split: data set and part of it, such as ``refcoco/unc/val``.

    Raises:
        DataError: a box is empty, inverted, not finite or outside the image; a mask is empty or of another size.
    """

    image_id: str
    data: bytes
    width: int
    height: int
    split: str
    expressions: tuple[Expression, ...]

    def __post_init__(self) -> None:
        name = printable(self.image_id, SHOWN)
        if not self.image_id:
            raise DataError("an image has no id: give it one")
        if self.width < 1 or self.height < 1:
            raise DataError(f"image {name} has {self.width} x {self.height} pixels: it needs one each way")
        for expression in self.expressions:
            if fault := fault_of(expression, self.width, self.height):
                raise DataError(f"image {name}: {fault}")


def fault_of(expression: Expression, width: int, height: int) -> str:
    """What of an expression cannot be in an image of this size, with its text; empty: nothing."""
    fault = box_fault(expression.boxes_K4, width, height)
    if not fault and expression.masks is not None:
        fault = _mask_fault(expression.masks, expression.boxes_K4, (height, width))
    return f"{expression.shown} has {fault}" if fault else ""


def box_fault(boxes_K4: np.ndarray, width: int, height: int) -> str:
    """What is wrong with the first box that cannot be in an image of this size; empty: nothing."""
    left_K, top_K, right_K, bottom_K = boxes_K4.T
    checks = (
        (~np.isfinite(boxes_K4).all(1), "whose numbers are not finite"),
        ((left_K >= right_K) | (top_K >= bottom_K), "that is empty or inverted"),
        (
            (left_K < 0) | (top_K < 0) | (right_K > width) | (bottom_K > height),
            f"outside its {width} x {height} pixels",
        ),
    )
    for wrong_K, says in checks:
        if wrong_K.any():
            i = int(wrong_K.argmax())
            return f"a box {says}: number {i}, {[round(float(v), 3) for v in boxes_K4[i]]}"
    return ""


def _mask_fault(masks: tuple[np.ndarray, ...], boxes_K4: np.ndarray, size: tuple[int, int]) -> str:
    for i, (mask_HW, (left, top, right, bottom)) in enumerate(zip(masks, boxes_K4, strict=True)):
        if mask_HW.dtype != np.bool_ or mask_HW.shape != size:
            return f"a mask of shape {mask_HW.shape} and type {mask_HW.dtype} (number {i}): it needs bool {size}"
        if not mask_HW.any():
            return f"an empty mask (number {i})"
        if not mask_HW[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)].any():
            return f"a mask that is nowhere in its box (number {i})"
    return ""


def raster_order(boxes_K4: np.ndarray) -> np.ndarray:
    """The order of instances: by y of the centre, then by x, then as they stand; int64 [K]."""
    boxes_K4 = boxes_K4.astype(np.float64)
    return np.lexsort((boxes_K4[:, 0] + boxes_K4[:, 2], boxes_K4[:, 1] + boxes_K4[:, 3]))
