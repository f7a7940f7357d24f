"""Judged answers by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core import schema
from siglino_core.grounding.data.referring import Expression
from siglino_core.grounding.judged.answer import Kind, Saying, judged
from siglino_core.grounding.judged.series import Series

SIDE = 20
Box = Sequence[float]


def mask(*box: int) -> np.ndarray:
    mask_HW = np.zeros((SIDE, SIDE), np.bool_)
    mask_HW[box[1] : box[3], box[0] : box[2]] = True
    return mask_HW


def expression(boxes: Sequence[Box], masks: Sequence[np.ndarray] | None = None, text: str = "it") -> Expression:
    return Expression(
        text=text, boxes_K4=np.array(boxes, np.float32).reshape(-1, 4), masks=None if masks is None else tuple(masks)
    )


def saying(boxes: Sequence[Box], **settings: Any) -> Saying:
    return Saying(boxes_P4=np.array(boxes, np.float64).reshape(-1, 4), **settings)


def row(true: Expression, said: Saying, image: str = "a", number: int = 0, kind: Kind = Kind.MODEL) -> dict[str, Any]:
    about = {"set": 0, "image_id": image, "row": 0, "number": number}
    return about | judged(true, said, size=(SIDE, SIDE), kind=kind)


def series(rows: Sequence[dict[str, Any]]) -> Series:
    return Series(pa.Table.from_pylist(list(rows), schema.ANSWERS))
