"""How a metric goes with the images' size, and whether a network falls into another mode at one.

A network that was distilled at two sizes can learn to be two networks: fine at both, useless between or beyond them
(Heinrich et al. 2025, "RADIOv2.5", section 4.1, mode switching).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from siglino_core.evaluation.results.result import Result
from siglino_core.evaluation.results.rows import FIDELITY, proper


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One view of one set of weights on one data set; points by growing side, each with its result."""

    task: str
    dataset: str
    split: str
    view: str
    metric: str
    points: Sequence[tuple[int, Result]]

    @property
    def name(self) -> str:
        """The networks' name in the evaluation: that of the smallest size."""
        return self.points[0][1].network


def side(preprocessing: Mapping[str, Any]) -> int | None:
    """Pixels of the side of the largest image, or of the square as large as that; None where it is not told."""
    if preprocessing.get("size"):
        return int(preprocessing["size"])
    pixels = preprocessing.get("max_pixels")
    return round(float(pixels) ** 0.5) if pixels else None


def curves(results: Sequence[Result]) -> list[Curve]:
    """Curves of at least two sizes; results belong together by ``hashes["network"]``, which no size changes.

    Two results of one size, as of another rule of resizing, stay apart: a curve is of one rule. Images that are all
    brought to one area are of another than those that are within bounds. Fidelity has no curve: at another size the
    teacher says something else.
    """
    found: dict[tuple[str, ...], dict[int, Result]] = {}
    for r in proper(results):
        at = side(r.preprocessing)
        weights = r.hashes.get("network", "")
        if at is None or not weights or r.task == FIDELITY:
            continue
        key = (r.task, r.dataset, r.split, r.view, r.headline[0], weights, _rule(r.preprocessing))
        found.setdefault(key, {}).setdefault(at, r)
    return [
        Curve(task=key[0], dataset=key[1], split=key[2], view=key[3], metric=key[4], points=_ordered(by_side))
        for key, by_side in sorted(found.items())
        if len(by_side) > 1
    ]


def _rule(preprocessing: Mapping[str, Any]) -> str:
    bounds = preprocessing.get("min_pixels"), preprocessing.get("max_pixels")
    fixed = " of one area" if bounds[0] is not None and bounds[0] == bounds[1] else ""
    return f"{preprocessing.get('rule', '')}{fixed}"


def _ordered(by_side: Mapping[int, Result]) -> list[tuple[int, Result]]:
    return [(at, by_side[at]) for at in sorted(by_side)]
