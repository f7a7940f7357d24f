"""Clusters with more members than can be compared with one another at once are ordered in parts.

M members of a cluster.
"""

from collections.abc import Callable

import numpy as np

MOST = 4096  # members whose pairs are held at once: 64 MB


def in_parts(score: Callable[..., np.ndarray], *of_members: np.ndarray | None) -> np.ndarray:
    """Scores of members: fp32 [M]. Beyond `MOST` every so-manieth ones are scored together, as clusters of their own.

    Args:
        score: of some members, from their rows of ``of_members``.
        of_members: arrays of M rows, the first not None.
    """
    first = of_members[0]
    assert first is not None
    parts = -(-len(first) // MOST) if len(first) else 1
    score_M = np.empty(len(first), np.float32)
    for part in range(parts):
        rows = slice(part, None, parts)
        score_M[rows] = score(*(None if array is None else array[rows] for array in of_members))
    return score_M
