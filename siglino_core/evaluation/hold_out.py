"""A part of the training samples on which settings are chosen: some of each class, the same for the same seed."""

import numpy as np

from siglino_core.evaluation.arrays import Array, class_ids, plain
from siglino_core.hashing import key_of


def held_out(labels: Array, *, share: float = 0.1, seed: int = 0) -> np.ndarray:
    """Which samples are held out, bool [N]: of each class ``share`` of its samples, rounded, but never its last.

    Where that would be none of any class, one of each class that has two or more; none at all where no class has.

    Args:
        labels: class numbers, [N].

    Raises:
        DataError: labels that are not whole numbers from 0.
    """
    labels_N = class_ids(labels, "labels", rows=len(plain(labels)))
    order_N = np.random.default_rng(key_of(seed, "held out")).permutation(len(labels_N))
    classes_N = labels_N[order_N]
    sorted_N = np.argsort(classes_N, kind="stable")
    _, starts_C, counts_C = np.unique(classes_N[sorted_N], return_index=True, return_counts=True)
    place_N = np.arange(len(labels_N)) - np.repeat(starts_C, counts_C)  # of a sample among its class, at random
    wanted_C = np.minimum(np.floor(share * counts_C + 0.5), counts_C - 1)
    if not wanted_C.any():
        wanted_C = np.minimum(1, counts_C - 1)
    held_N = np.zeros(len(labels_N), bool)
    held_N[order_N[sorted_N]] = place_N < np.repeat(wanted_C, counts_C)
    return held_N
