"""What is reached without understanding: a box in the centre, the best single box, and another image's text.

Boxes are relative here: left, top, right, bottom as shares of width and height, in which IoU is the same as in pixels.

Legend: N samples, T boxes of the training data, C candidates, K kept.
"""

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, plain
from siglino_core.grounding.metrics.boxes import box_iou_matrix
from siglino_core.hashing import key_of

MOST_TRAIN = 2_000  # training boxes that a search looks at, drawn by the seed
PLACES, SIDES = 7, 7  # of the grid of candidates, each way


def relative(boxes: Array, widths: Array, heights: Array) -> np.ndarray:
    """Boxes in pixels as shares of their images' sizes, fp64 [N, 4].

    Raises:
        DataError: not one width and height a box.
    """
    boxes_N4 = np.asarray(plain(boxes), np.float64).reshape(-1, 4)
    sizes = [np.asarray(plain(side), np.float64) for side in (widths, heights)]
    if any(side.shape != (len(boxes_N4),) or (side <= 0).any() for side in sizes):
        raise DataError(f"{len(boxes_N4)} boxes need a width and a height each, above 0")
    return boxes_N4 / np.stack([*sizes, *sizes], 1)


def in_pixels(box_4: np.ndarray, width: int, height: int) -> np.ndarray:
    """A relative box in an image of this size, fp64 [4]."""
    return np.asarray(box_4, np.float64) * [width, height, width, height]


def centre_box(train: Array) -> np.ndarray:
    """The box in the middle with the training boxes' mean relative width and height, fp64 [4].

    Args:
        train: relative, [T, 4].

    Raises:
        DataError: no boxes.
    """
    train_T4 = _train(train)
    half_2 = (train_T4[:, 2:] - train_T4[:, :2]).mean(0) / 2
    return np.concatenate([0.5 - half_2, 0.5 + half_2])


def largest_prior_box(train: Array, threshold: float = 0.5, *, seed: int = 0) -> np.ndarray:
    """The single box that is right for most training boxes, of those that a search finds: fp64 [4], relative.

    The best of a grid, of the training boxes themselves and of :func:`centre_box`, then moved edge by edge in ever
    smaller steps while that helps. Of equally good ones the one with the higher mean IoU.

    Args:
        train: relative, [T, 4]; of more than :data:`MOST_TRAIN` the search sees a draw.
        threshold: of the IoU at which a box is right.

    Raises:
        DataError: no boxes.
    """
    all_T4 = _train(train)
    order = np.random.default_rng(key_of(seed, "prior box")).permutation(len(all_T4))[:MOST_TRAIN]
    train_T4 = all_T4[np.sort(order)]
    candidates_C4 = np.concatenate([_grid(), train_T4, centre_box(all_T4)[None]])
    best_4, best = _best(candidates_C4, train_T4, threshold)
    for step in (0.08, 0.04, 0.02, 0.01, 0.005):
        better = True
        while better:
            near_C4 = np.clip(best_4 + step * np.concatenate([np.eye(4), -np.eye(4)]), 0, 1)
            moved_4, reached = _best(near_C4, train_T4, threshold)
            better = reached > best
            if better:
                best_4, best = moved_4, reached
    return best_4


def _train(train: Array) -> np.ndarray:
    train_T4 = np.asarray(plain(train), np.float64).reshape(-1, 4)
    if not len(train_T4):
        raise DataError("no training boxes: a prior needs at least one")
    return train_T4


def _grid() -> np.ndarray:
    middles = np.linspace(0.125, 0.875, PLACES)
    halves = np.linspace(0.08, 0.5, SIDES)
    x, y, w, h = (axis.ravel() for axis in np.meshgrid(middles, middles, halves, halves))
    return np.clip(np.stack([x - w, y - h, x + w, y + h], 1), 0, 1)


def _best(candidates_C4: np.ndarray, train_T4: np.ndarray, threshold: float) -> tuple[np.ndarray, tuple[float, float]]:
    """The best candidate with its accuracy and mean IoU; of equal ones the first."""
    scores = []
    for start in range(0, len(candidates_C4), 256):
        iou_CT = box_iou_matrix(candidates_C4[start : start + 256], train_T4)
        scores += zip((iou_CT >= threshold).mean(1).tolist(), iou_CT.mean(1).tolist(), strict=True)
    at = max(range(len(scores)), key=lambda i: (scores[i], -i))
    return candidates_C4[at], scores[at]


def shuffled_texts(images: Array, *, seed: int = 0) -> np.ndarray:
    """Whose text each sample gets instead of its own: a permutation, int64 [N], that never stays in the same image.

    What a model scores with these texts and the true boxes, it scores without language.

    Args:
        images: [N], what image each sample is of: ids or numbers.

    Raises:
        DataError: one image has more than half of the samples, so that there is no such permutation.
    """
    _, image_N = np.unique(np.asarray(images), return_inverse=True)
    n = len(image_N)
    most = int(np.bincount(image_N).max()) if n else 0
    if 2 * most > n or not n:
        raise DataError(f"one image has {most} of {n} samples, more than half: their texts cannot all go elsewhere")
    rng = np.random.default_rng(key_of(seed, "shuffled texts"))
    place = rng.permutation(image_N.max() + 1)  # images in a random order, and inside of them samples in one
    order_N = np.lexsort((rng.random(n), place[image_N]))
    shift = int(rng.integers(most, n - most + 1))  # past one's own image, and not around to it again
    found_N = np.empty(n, np.int64)
    found_N[order_N] = np.roll(order_N, -shift)
    return found_N
