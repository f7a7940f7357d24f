"""Which answers a page shows, what it says of each, and how they look.

Legend: N expressions.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from siglino_core.grounding.data import rle
from siglino_core.grounding.judged.numbers import AT
from siglino_core.grounding.judged.series import Series
from siglino_core.grounding.overlay import draw
from siglino_core.grounding.predict import Instance
from siglino_core.hashing import key_of, uniform
from siglino_core.models.inputs import picture

SMALL, LARGE = 384, 512  # pixels of a picture's longer side, at least and at most


def quality(series: Series) -> np.ndarray:
    """How good each answer is, fp64 [N]: IoU of one referent, F1 of several, and of none whether that was said."""
    several_N = np.array([m.f1(AT) for m in series.matches])
    return np.where(series.true_N == 1, series.iou_N, np.where(series.true_N > 1, several_N, ~series.said_N))


def chosen(series: Series, count: int, *, seed: int) -> list[tuple[int, bool]]:
    """The expressions that are shown, one an image, and whether each is among the worst.

    Half are drawn by a key of the seed and the image, then as many are the worst of the other images; of equally bad
    ones the drawn order decides.
    """
    key = key_of(seed, "answers shown")
    numbers_N = np.array([key_of(sample) for sample in series.sample_ids], np.uint64)
    drawn_N = uniform(key, numbers_N)
    seen: set[int] = set()

    def take(order_N: np.ndarray, most: int) -> list[int]:
        found = []
        for i in order_N.tolist():
            if len(found) == most:
                break
            if (image := int(series.images_N[i])) not in seen:
                seen.add(image)
                found.append(i)
        return found

    some = take(np.argsort(drawn_N), (count + 1) // 2)
    worst = take(np.lexsort((drawn_N, quality(series))), count // 2)
    return [*((i, False) for i in some), *((i, True) for i in worst)]


def verdict(row: Mapping[str, Any], quality: float) -> tuple[str, bool]:
    """What is said of an answer, and whether it is right."""
    true, predicted = len(row["boxes"]), len(row["predicted"])
    invented = f", and {predicted - 1} more said" if predicted > 1 else ""
    if not true:
        return ("absent, but said to be there", False) if row["said"] else ("absent, and said so", True)
    if not predicted:
        return "missed: said to be absent", False
    if true == 1:
        right = row["iou"] >= AT
        return f"IoU {row['iou']:.2f}: {'right' if right else 'wrong'}{invented}", right
    found = sum(iou >= AT for iou in row["pairs"])
    return f"found {found} of {true}, {predicted - found} wrong", quality == 1


def overlay(data: bytes, row: Mapping[str, Any]) -> bytes | None:
    """An encoded picture with a row's answer on it, at a size at which lines and scores can be read.

    Returns:
        JPEG, as many of them are held at once; None where the image cannot be decoded.
    """
    try:
        image = picture(data)
    except (ValueError, OSError):
        return None
    assert isinstance(image, Image.Image), "bytes are decoded to pictures"
    scale = np.clip(1.0, SMALL / max(image.size), LARGE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    by = np.array([size[0] / image.width, size[1] / image.height] * 2)
    masks = row["masks"] or [None] * len(row["predicted"])
    scores = row["scores"] or [1.0] * len(row["predicted"])
    instances = []
    for box, score, counts in zip(row["predicted"], scores, masks, strict=True):
        mask = None if counts is None else _scaled(rle.decode(counts, row["height"], row["width"]), size)
        left, top, right, bottom = (np.array(box) * by).tolist()
        instances.append(Instance((left, top, right, bottom), score, mask, row["present"] or 0.0))
    true = [(np.array(box) * by).tolist() for box in row["boxes"]]
    out = io.BytesIO()
    draw(image.resize(size, Image.Resampling.LANCZOS), instances, true).save(out, "JPEG", quality=92, subsampling=0)
    return out.getvalue()


def _scaled(mask_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(mask_HW).resize(size, Image.Resampling.NEAREST))
