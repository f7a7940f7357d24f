"""Other models' answers as ours: Florence-2's text and Falcon-Perception's list, as boxes in pixels for each query.

An answer is judged, not trusted: what in it is malformed is no box, and is counted; what is no answer at all (another
type, or longer than any) is a `DataError`. Boxes that come out empty or inverted stay, and count as wrong.

Legend: K boxes; H and W pixels.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from siglino_core.errors import DataError
from siglino_core.foreign import printable
from siglino_core.grounding.data import rle
from siglino_core.grounding.data.table import MOST_MASK_PIXELS

FLORENCE_BINS = 1_000
MOST_CHARACTERS, MOST_ENTRIES = 1 << 20, 20_000
_PLACE = re.compile(r"<loc_([0-9]{1,4})>")
_PLACES = re.compile(r"(?:<loc_[0-9]{1,4}>)+")
_TAG = re.compile(r"</?[a-z]{1,10}>")


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What a model says a query refers to; no boxes: nothing.

    Attributes:
        boxes_K4: left, top, right, bottom in pixels of the image, fp64.
        masks: bool [H, W] each, of the boxes in their order; None: the model gave none, or not to all.
        malformed: parts that were no box.
    """

    query: str
    boxes_K4: np.ndarray
    masks: tuple[np.ndarray, ...] | None = None
    malformed: int = 0


def from_florence(text: str, width: int, height: int) -> list[Answer]:
    """Florence-2's text for phrase grounding and detection, a phrase with its boxes each, in its order.

    ``phrase<loc_1><loc_2><loc_3><loc_4>``: x and y of two corners in 1,000 bins, decoded at the bins' centres; more
    boxes of a phrase follow it at once. A phrase that comes again has its boxes together. Text behind the last is no
    answer, and neither are tags such as ``</s>``. A number of bins that is no multiple of four, or a bin that is not
    there, spoils its box alone.

    Raises:
        DataError: no text, longer than :data:`MOST_CHARACTERS`, or an image without pixels.
    """
    size = _size(width, height)
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS:
        what = f"{len(text)} characters" if isinstance(text, str) else f"a {type(text).__name__}"
        raise DataError(f"an answer of {what}: Florence-2's is a text of at most {MOST_CHARACTERS}")
    found: dict[str, list[list[float]]] = {}
    faults: dict[str, int] = {}
    start = 0
    for places in _PLACES.finditer(text):
        phrase = " ".join(_TAG.sub(" ", text[start : places.start()]).split())
        start = places.end()
        bins = [int(number) for number in _PLACE.findall(places.group())]
        whole = len(bins) // 4 * 4
        boxes = [bins[i : i + 4] for i in range(0, whole, 4)]
        good = [box for box in boxes if max(box) < FLORENCE_BINS]
        found.setdefault(phrase, []).extend([(b + 0.5) / FLORENCE_BINS for b in box] for box in good)
        faults[phrase] = faults.get(phrase, 0) + len(boxes) - len(good) + (len(bins) > whole)
    return [
        Answer(query=phrase, boxes_K4=np.array(boxes, np.float64).reshape(-1, 4) * size, malformed=faults[phrase])
        for phrase, boxes in found.items()
    ]


def from_falcon(entries: Sequence[Any], query: str, width: int, height: int) -> Answer:
    """Falcon-Perception's list for one query: centres and sizes as shares of the image, with masks if it made some.

    An entry is ``{"xy": {"x", "y"}, "hw": {"h", "w"}, "mask_rle": {"size", "counts"}}`` (pairs may be lists), or, as
    its decoder lists them, ``{"x", "y"}`` and then ``{"h", "w"}``. Boxes are cut at the image's edges. An entry whose
    numbers are not all there, finite and from 0 to 1 is none. Masks count if every box has one of the image's size, and
    all of them together fit into memory.

    Raises:
        DataError: no list, one of more than :data:`MOST_ENTRIES` entries, or an image without pixels.
    """
    size = _size(width, height)
    if not isinstance(entries, list | tuple) or len(entries) > MOST_ENTRIES:
        what = f"{len(entries)} entries" if isinstance(entries, list | tuple) else f"a {type(entries).__name__}"
        raise DataError(
            f"an answer of {what} to '{printable(query, 60)}': Falcon-Perception's is a list of at most {MOST_ENTRIES}"
        )
    boxes: list[list[float]] = []
    masks: list[np.ndarray | None] = []
    joined, malformed = _joined(entries)
    for entry in joined:
        centre, sides = _pair(entry.get("xy"), "xy"), _pair(entry.get("hw"), "hw")
        if centre is None or sides is None:
            malformed += 1
            continue
        (x, y), (h, w) = centre, sides
        boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        fits = (len(masks) + 1) * width * height <= MOST_MASK_PIXELS
        masks.append(_mask(entry.get("mask_rle"), width, height) if fits else None)
    whole = [m for m in masks if m is not None]
    return Answer(
        query=query,
        boxes_K4=np.clip(np.array(boxes, np.float64).reshape(-1, 4), 0, 1) * size,
        masks=tuple(whole) if boxes and len(whole) == len(boxes) else None,
        malformed=malformed,
    )


def _joined(entries: Sequence[Any]) -> tuple[list[Mapping[str, Any]], int]:
    """Entries with both pairs, and how many others there are; a centre that no size follows has none."""
    found: list[Mapping[str, Any]] = []
    malformed = 0
    centre: Mapping[str, Any] | None = None
    for entry in entries:
        if not isinstance(entry, Mapping):
            malformed += 1
        elif "xy" in entry or "hw" in entry:
            found.append(entry)
        elif "x" in entry and "y" in entry:
            malformed += centre is not None
            centre = entry
            continue
        elif centre is not None and "h" in entry and "w" in entry:
            found.append({"xy": centre, "hw": entry})
            centre = None
            continue
        else:
            malformed += 1
        malformed += centre is not None
        centre = None
    return found, malformed + (centre is not None)


def _pair(stored: Any, names: str) -> tuple[float, float] | None:
    values: Any = [stored.get(name) for name in names] if isinstance(stored, Mapping) else stored
    if not isinstance(values, list | tuple) or len(values) != 2:
        return None
    first, second = values
    if not all(type(v) in (int, float) and 0 <= v <= 1 for v in (first, second)):  # NaN is neither
        return None
    return float(first), float(second)


def _mask(stored: Any, width: int, height: int) -> np.ndarray | None:
    if not isinstance(stored, Mapping) or stored.get("size") not in ([height, width], (height, width)):
        return None
    counts = stored.get("counts")
    try:
        return rle.decode(counts, height, width) if isinstance(counts, str | bytes) else None
    except DataError:
        return None


def _size(width: int, height: int) -> np.ndarray:
    if width < 1 or height < 1:
        raise DataError(f"an image of {width} x {height} pixels: it needs one each way")
    return np.array([width, height, width, height], np.float64)
