"""Accuracy against resolution, and a gate against a mode switch: features that fall apart above the training's size.

Source: Heinrich et al. 2025, "RADIOv2.5" (arXiv:2412.07679), on RADIO, whose accuracy falls from 82.9% at 512 pixels to
1.3% at 768.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from siglino_core.errors import DataError

SIDES = (224, 384, 512, 768)
REFERENCE, TOLERANCE = 512, 0.02


@dataclass(frozen=True, kw_only=True)
class ModeSwitch:
    """Whether a metric holds above the reference's resolution.

    Attributes:
        side: the resolution, above the reference's, where the metric is lowest.
        fall: how far it is there below the reference; below 0: it rose.
        passed: the fall is no more than was allowed.
    """

    reference: int
    side: int
    fall: float
    passed: bool


def curve(by_side: Mapping[int, float]) -> list[tuple[int, float]]:
    """(pixels, metric) by rising resolution: a point has the square of its side as pixels.

    Args:
        by_side: a metric by the side of a square with as many pixels as images may have.

    Raises:
        DataError: no points, a side below 1, or a metric that is NaN.
    """
    if not by_side:
        raise DataError("no resolutions: a curve needs at least one")
    for side, value in by_side.items():
        if side < 1 or value != value:
            raise DataError(f"{value} at a side of {side} pixels: a point has a side of at least 1 and a number")
    return [(side * side, by_side[side]) for side in sorted(by_side)]


def mode_switch(
    by_side: Mapping[int, float], *, reference: int = REFERENCE, tolerance: float = TOLERANCE
) -> ModeSwitch:
    """Judge a curve: above ``reference`` the metric may be ``tolerance`` lower than there, and no more.

    Raises:
        DataError: as :func:`curve`, or no point at the reference or none above it.
    """
    curve(by_side)
    above = [side for side in sorted(by_side) if side > reference]
    if reference not in by_side or not above:
        raise DataError(f"resolutions {sorted(by_side)}: the gate needs {reference} and one above it")
    lowest = min(above, key=lambda side: by_side[side])
    fall = by_side[reference] - by_side[lowest]
    return ModeSwitch(reference=reference, side=lowest, fall=fall, passed=fall <= tolerance + 1e-9)
