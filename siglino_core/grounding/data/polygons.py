"""Outlines as masks, pixel for pixel as COCO's tools fill them.

An outline is walked on a grid five times finer than the pixels. Where it crosses the centre line of a column of pixels,
all pixels of the column from there on downwards change sides; what has changed an odd number of times is inside.

Legend: H and W pixels, P corners, S steps of the walk.
Source: the rule of COCO's annotations (Lin et al. 2014), found by comparing with its tools.
"""

from collections.abc import Sequence

import numpy as np

from siglino_core.errors import DataError
from siglino_core.grounding.data.rle import MAX_PIXELS

FINER = 5
MOST_CORNERS = 100_000
MOST_STEPS = 1 << 22  # of an outline; one around an image of 2,000 x 2,000 pixels has 40,000


def filled(outlines: Sequence[Sequence[float]], height: int, width: int) -> np.ndarray:
    """What lies inside any of the outlines, bool [H, W].

    Args:
        outlines: x and y of the corners in turn, in pixels.

    Raises:
        DataError: an outline has fewer than three corners, too many, or some not finite or far outside the image.
    """
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise DataError(f"a mask of {width} x {height} pixels: it needs 1 to {MAX_PIXELS} of them")
    mask_HW = np.zeros((height, width), bool)
    steps = 0
    for outline in outlines:
        corners_P2 = _corners(outline, height, width)
        steps += int(np.abs(np.roll(corners_P2, -1, axis=0) - corners_P2).max(1).sum()) + len(corners_P2)
        if steps > MOST_STEPS:
            raise DataError(f"outlines of more than {MOST_STEPS} steps: leave the object out")
        mask_HW |= _inside(corners_P2, height, width)
    return mask_HW


def _corners(outline: Sequence[float], height: int, width: int) -> np.ndarray:
    """On the finer grid, int64 [P, 2]."""
    if not 6 <= len(outline) <= 2 * MOST_CORNERS or len(outline) % 2:
        raise DataError(f"an outline of {len(outline)} numbers: it needs x and y of 3 to {MOST_CORNERS} corners")
    if not all(type(v) in (int, float) and abs(v) < 1e9 for v in outline):  # NaN is not below anything
        raise DataError("an outline has a corner that is no number or not finite")
    corners_P2 = np.asarray(outline, np.float64).reshape(-1, 2)
    reach = np.array([width, height], np.float64)
    if ((corners_P2 < -reach) | (corners_P2 > 2 * reach)).any():
        raise DataError(f"an outline has a corner far outside its {width} x {height} pixels")
    return np.trunc(FINER * corners_P2 + 0.5).astype(np.int64)


def _inside(corners_P2: np.ndarray, height: int, width: int) -> np.ndarray:
    walk_S2 = _walk(corners_P2)
    before_S2, after_S2 = walk_S2[:-1], walk_S2[1:]
    column = np.minimum(before_S2[:, 0], after_S2[:, 0])
    row = np.minimum(before_S2[:, 1], after_S2[:, 1])
    at, rest = np.divmod(column - FINER // 2, FINER)  # the middle of each five is a pixel's centre
    crosses = (before_S2[:, 0] != after_S2[:, 0]) & (rest == 0) & (at >= 0) & (at < width)
    first = np.ceil(np.clip((row[crosses] + 0.5) / FINER - 0.5, 0, height)).astype(np.int64)
    flips = np.bincount(at[crosses] * height + first, minlength=height * width + 1)[:-1]
    return (np.cumsum(flips) % 2 == 1).reshape((height, width), order="F")


def _walk(corners_P2: np.ndarray) -> np.ndarray:
    """Every step around the outline, int64 [S, 2]: each side is sampled along the axis in which it is longer."""
    sides = []
    for start_2, end_2 in zip(corners_P2, np.roll(corners_P2, -1, axis=0), strict=True):
        length_2 = np.abs(end_2 - start_2)
        axis = 0 if length_2[0] >= length_2[1] else 1
        low_2, high_2 = (start_2, end_2) if start_2[axis] <= end_2[axis] else (end_2, start_2)
        steps_S = np.arange(length_2[axis] + 1)
        slope = (high_2[1 - axis] - low_2[1 - axis]) / max(1, length_2[axis])
        side_S2 = np.empty((len(steps_S), 2), np.int64)
        side_S2[:, axis] = low_2[axis] + steps_S
        side_S2[:, 1 - axis] = np.trunc(low_2[1 - axis] + slope * steps_S + 0.5)
        sides.append(side_S2 if low_2 is start_2 else side_S2[::-1])
    return np.concatenate(sides)
