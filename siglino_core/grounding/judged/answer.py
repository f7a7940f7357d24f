"""One answer to one expression, whoever gave it, compared with what the expression refers to.

Legend: P predicted and K true boxes; H and W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from siglino_core.grounding.data import rle
from siglino_core.grounding.data.referring import Expression
from siglino_core.grounding.metrics.boxes import box_iou_matrix, matched
from siglino_core.grounding.metrics.masks import overlaps, union
from siglino_core.grounding.predict import Reply

LARGEST = 1e6  # of a box's numbers, in pixels, that is kept as it is; what is beyond stays wrong


class Kind(StrEnum):
    """Whose answer it is."""

    MODEL = "model"
    SHUFFLED = "shuffled"  # the model's, asked for another image's text
    CENTRE = "centre"  # the box in the middle
    PRIOR = "prior"  # the single box that is right for most training boxes
    OTHER = "other"


@dataclass(frozen=True, kw_only=True, eq=False)
class Saying:
    """An answer.

    Attributes:
        boxes_P4: pixels, fp64, the surest first; they may be empty, inverted or not finite, which counts as wrong.
        scores: one a box, or none at all.
        masks: bool [H, W], one a box; None: there are none.
        present: the chance of presence, if it is known.
        said: whether it says that there is such a thing; None: if it has a box.
        malformed, missing: as the columns of `siglino_core.schema.ANSWERS`.
    """

    boxes_P4: np.ndarray
    scores: tuple[float, ...] = ()
    masks: tuple[np.ndarray, ...] | None = None
    present: float | None = None
    said: bool | None = None
    malformed: int = 0
    missing: bool = False


def of_reply(reply: Reply, *, masks: bool) -> Saying:
    """The model's own answer, its boxes in the order of their scores."""
    found = sorted(reply.instances, key=lambda one: -one.score)
    return Saying(
        boxes_P4=np.array([one.box_xyxy for one in found], np.float64).reshape(-1, 4),
        scores=tuple(one.score for one in found),
        masks=tuple(one.mask for one in found if one.mask is not None) if masks else None,
        present=reply.present,
        said=reply.present > 0.5,
    )


def of_box(box_4: np.ndarray, width: int, height: int, *, masks: bool) -> Saying:
    """The answer that is one box in any image; as a mask, the pixels whose middle lies in it.

    Args:
        box_4: relative to the image's sides.
    """
    box = np.asarray(box_4, np.float64) * [width, height, width, height]
    mask_HW = np.zeros((height, width), np.bool_)
    if masks:
        left, top, right, bottom = (max(0, int(np.ceil(v - 0.5))) for v in box)
        mask_HW[top:bottom, left:right] = True
    return Saying(boxes_P4=box[None], masks=(mask_HW,) if masks else None)


def judged(
    expression: Expression, saying: Saying, *, size: tuple[int, int], kind: Kind, asked: str = "", keep: bool = True
) -> dict[str, Any]:
    """The columns of `siglino_core.schema.ANSWERS` that tell an answer and how well it fits.

    Masks are compared where the expression has some and the answer was to give some; of several, their union. An
    answer that has boxes without masks then has an empty one.

    Args:
        size: (height, width) of the image.
        asked: the text that was asked, if it is not the expression's.
        keep: the answer's masks too.
    """
    iou_PK = box_iou_matrix(saying.boxes_P4, expression.boxes_K4.astype(np.float64))
    pairs = matched(iou_PK)
    inter, total = _pixels(expression, saying, size)
    return {
        "width": size[1],
        "height": size[0],
        "text": expression.text,
        "kind": kind.value,
        "asked": asked or expression.text,
        "boxes": expression.boxes_K4.tolist(),
        "predicted": [_stored(box) for box in saying.boxes_P4],
        "scores": list(saying.scores),
        "present": saying.present,
        "said": bool(len(saying.boxes_P4)) if saying.said is None else saying.said,
        "iou": float(iou_PK[0].max()) if iou_PK.size else 0.0,
        "best_iou": float(iou_PK.max()) if iou_PK.size else 0.0,
        "pairs": sorted(pairs.iou_M.tolist(), reverse=True),
        "inter": inter,
        "union": total,
        "masks": [rle.encode(m) for m in saying.masks] if keep and saying.masks else None,
        "malformed": saying.malformed,
        "missing": saying.missing,
    }


def _pixels(expression: Expression, saying: Saying, size: tuple[int, int]) -> tuple[int | None, int | None]:
    """Intersection and union; None: there is nothing to compare with, or no mask was asked for."""
    if expression.masks is None or saying.masks is None:
        return None, None
    found = [m for m in saying.masks if m.shape == size]
    compared = overlaps([union(found)], [union(expression.masks)])
    return int(compared.inter_N[0]), int(compared.union_N[0])


def _stored(box_4: Sequence[float]) -> list[float]:
    """A box that fits a column of fp32: what is not finite there becomes a box that is empty."""
    values = [float(v) for v in box_4]
    return values if all(abs(v) <= LARGEST for v in values) else [0.0, 0.0, 0.0, 0.0]
