"""Which packs meet: every step has its share of all kinds of packs, and ranks that wait for one another get like ones.

Legend: N images, P packs of a block, V packs of a step, G parts.
"""

import numpy as np

from siglino_core.config import Match

GOLDEN = (5**0.5 - 1) / 2


def interleave(part_N: np.ndarray, tokens_N: np.ndarray, size_P: np.ndarray, start: float) -> np.ndarray:
    """An order of a block's packs in which any run of them holds what the block holds: int64 [P].

    Packs are sorted by what is in them: how many images, how many of each part, the part of the largest ones first,
    then the sum of squared tokens. As shares of that list, the row takes its places start, start + GOLDEN, start + 2
    GOLDEN, ... modulo 1. Any V in a row are then nearly equally spaced in it, for every V, and so have every kind's
    share.

    Source: Knuth, "The Art of Computer Programming", volume 3, section 6.4, theorem S.

    Args:
        part_N, tokens_N: of the block's images, in the order of their packs.
        size_P: images of each pack.
        start: from 0 to 1, where the row begins among the sorted packs.
    """
    start_P = np.cumsum(size_P) - size_P
    mean_G = np.bincount(part_N, tokens_N) / np.maximum(1, np.bincount(part_N))
    by_size_G = np.argsort(mean_G, kind="stable")  # lexsort's last key decides first
    images_GP = [np.add.reduceat(part_N == part, start_P, dtype=np.uint32) for part in by_size_G]
    order_P = np.empty(len(size_P), np.int64)
    place_P = (start + np.arange(len(size_P)) * GOLDEN) % 1
    order_P[np.argsort(place_P, kind="stable")] = np.lexsort(
        [np.add.reduceat(tokens_N**2, start_P), *images_GP, size_P]
    )
    return order_P


def deal(cost_V: np.ndarray, match: Match) -> np.ndarray:
    """The order of a step's packs: int64 [V].

    Args:
        cost_V: float64 [V], of the packs as they come.
        match: how. Attention is quadratic: packs of as many tokens differ in cost by what their images are.
    """
    return np.arange(len(cost_V)) if match is Match.NONE else np.argsort(cost_V, kind="stable")
