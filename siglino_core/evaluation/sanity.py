"""What numbers are worth: the same protocols on features, labels and texts that know nothing.

Legend: N samples or images, M texts, C classes, D width.
"""

from dataclasses import dataclass
from math import lgamma

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, class_ids, plain
from siglino_core.evaluation.retrieval import I2T, T2I
from siglino_core.hashing import key_of


@dataclass(frozen=True, kw_only=True)
class Chance:
    """Accuracies without looking: of a uniform guess, and of always naming the most frequent class."""

    uniform: float
    majority: float


def chance(labels: Array, num_classes: int) -> Chance:
    """The accuracies on these labels without looking; mean per-class recall is the uniform guess's for both.

    Raises:
        DataError: no samples, or labels out of range.
    """
    labels_N = class_ids(labels, "labels", rows=len(plain(labels)), num_classes=num_classes)
    if not len(labels_N):
        raise DataError("no samples: chance is a share of at least one")
    return Chance(uniform=1 / num_classes, majority=float(np.bincount(labels_N).max() / len(labels_N)))


def permuted(labels: Array, seed: int = 0) -> np.ndarray:
    """The labels in another order, at random, the same for the same seed: each class stays as frequent."""
    labels_N = plain(labels)
    return labels_N[np.random.default_rng(key_of(seed, "permuted labels")).permutation(len(labels_N))]


def constant(features: Array) -> np.ndarray:
    """Features of the same shape that are all alike, fp32."""
    return np.ones(np.shape(plain(features)), np.float32)


def shuffled_texts(text_to_image: Array, images: int, seed: int = 0) -> np.ndarray:
    """Each image's texts as those of one other image, int64 [M]: no text keeps its own.

    Args:
        text_to_image: which image each text is of, [M].
        images: how many there are.

    Raises:
        DataError: fewer than two images, or an image number out of range.
    """
    if images < 2:
        raise DataError(f"{images} images: texts are shuffled among at least two")
    image_M = class_ids(text_to_image, "text_to_image", rows=len(plain(text_to_image)), num_classes=images)
    order_N = np.random.default_rng(key_of(seed, "shuffled texts")).permutation(images)
    other_N = np.empty(images, np.int64)
    other_N[order_N] = np.roll(order_N, 1)  # each takes the next one's in a random circle
    return other_N[image_M]


def chance_recall(text_to_image: Array, images: int, k: int) -> dict[str, float]:
    """The expected recall at k of a random order, by direction.

    An image with c of M texts finds one of them among the first k unless all k are of the other M - c.

    Raises:
        DataError: no texts, or an image number out of range.
    """
    image_M = class_ids(text_to_image, "text_to_image", rows=len(plain(text_to_image)), num_classes=images)
    m = len(image_M)
    if not m:
        raise DataError("no texts: chance is a share of at least one")
    found = []
    for c in np.unique(image_M, return_counts=True)[1].tolist():
        missed = 0.0 if m - c < k else np.exp(_log_choose(m - c, k) - _log_choose(m, k))
        found.append(1 - missed)
    return {T2I: min(k, images) / images, I2T: float(np.mean(found))}


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
