"""Which packs of a window meet in one step: those that cost about the same.

Legend: S steps of the window, V packs of a step.
"""

import numpy as np

from siglino_core.config import Match
from siglino_core.hashing import key_of, uniform


def deal(cost_SV: np.ndarray, match: Match, key: int) -> np.ndarray:
    """The packs of each step: int64 [S, V], indices into the flat window; each once.

    Args:
        cost_SV: float64 [S, V], the packs as they come: the column is the virtual shard that would hold them.
        match: how. With `Match.SHARDS` a pack stays in its column.
        key: the order of the steps, so that training does not see sorted costs; with `Match.GLOBAL` also the order
            within a step, so that no virtual shard has the costliest every time.

    Attention is quadratic: packs of as many tokens differ in cost by what their images are. A price is paid: a step's
    packs are alike, so the number of images in a step varies more than it would with packs as they come.
    """
    steps, packs = cost_SV.shape
    as_they_come = np.arange(cost_SV.size).reshape(steps, packs)
    if match == Match.NONE:
        return as_they_come
    order_S = _shuffled(key_of(key, "steps"), 1, steps)[0]
    if match == Match.SHARDS:
        return np.take_along_axis(as_they_come, np.argsort(cost_SV, axis=0, kind="stable"), axis=0)[order_S]
    sorted_SV = np.argsort(cost_SV, axis=None, kind="stable").reshape(steps, packs)
    return np.take_along_axis(sorted_SV, _shuffled(key_of(key, "packs"), steps, packs), axis=1)[order_S]


def _shuffled(key: int, rows: int, columns: int) -> np.ndarray:
    """A permutation of ``range(columns)`` for every row."""
    draws = uniform(key, np.arange(rows * columns, dtype=np.uint64)).reshape(rows, columns)
    return np.argsort(draws, axis=1, kind="stable")
