"""Which images of a labelled pool test what a sample teaches: a quarter of every label, by keyed draws.

Legend: N images. Labels are class numbers; -1 stands for none.
"""

import numpy as np

from siglino_core.hashing import key_of, uniform

SHARE = 4  # of a label's images one in so many is held out: none of three or fewer
TRAINS = 2  # images that a label must have to train anybody


def quarter(label_N: np.ndarray, ids_N: np.ndarray, seed: int, split: int = 0) -> np.ndarray:
    """The images held out, bool [N]: of every label a quarter, rounded down, so one at least where it has four.

    Args:
        label_N: int [N], -1 for none; what has no label is never held out.
        ids_N: uint64 [N]: an image's draw depends on its id and on nothing around it.
        split: another number draws another quarter.
    """
    rank_N = rank_in_label(label_N, uniform(key_of(seed, "quarter", split), ids_N))
    return (label_N >= 0) & (rank_N < label_counts(label_N)[label_N] // SHARE)


def rank_in_label(label_N: np.ndarray, key_N: np.ndarray) -> np.ndarray:
    """The place of each image among those of its label, by its key: int64 [N], from 0."""
    order_N = np.lexsort((key_N, label_N))
    ordered_N = label_N[order_N]
    rank_N = np.empty(len(label_N), np.int64)
    rank_N[order_N] = np.arange(len(label_N)) - np.searchsorted(ordered_N, ordered_N)
    return rank_N


def label_counts(label_N: np.ndarray) -> np.ndarray:
    """Images of every label: int64 [C], and one more entry, 0, that label -1 leads to."""
    return np.bincount(label_N[label_N >= 0], minlength=int(label_N.max(initial=-1)) + 2)


def teaches(label_N: np.ndarray) -> np.ndarray:
    """Which images can train a classifier: bool [N], those whose label has two images or more in the pool."""
    return label_counts(label_N)[label_N] >= TRAINS


def thinned(rows_M: np.ndarray, ids_M: np.ndarray, most: int, seed: int, purpose: str) -> np.ndarray:
    """At most ``most`` of some rows, drawn uniformly by id, in their order."""
    if len(rows_M) <= most:
        return rows_M
    drawn = np.argsort(uniform(key_of(seed, purpose), ids_M), kind="stable")[:most]
    return rows_M[np.sort(drawn)]


def thinned_by_label(rows_M: np.ndarray, label_M: np.ndarray, ids_M: np.ndarray, most: int, seed: int) -> np.ndarray:
    """At most ``most`` test rows, in their order: labels give up images in turn, so that no rare one is lost.

    A mean over labels stays what it was, but for chance.
    """
    if len(rows_M) <= most:
        return rows_M
    key_M = uniform(key_of(seed, "thinned test"), ids_M)
    drawn = np.lexsort((key_M, rank_in_label(label_M, key_M)))[:most]
    return rows_M[np.sort(drawn)]
