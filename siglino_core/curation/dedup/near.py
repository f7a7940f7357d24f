"""Near-duplicates: inside a group of points, one stands for all that are closer than a cosine.

N points of a group, in order of preference.
"""

import numpy as np
import torch

BLOCK = 1024


def representatives(unit_ND: np.ndarray, cosine: float) -> np.ndarray:
    """For every point the index of the point that stands for it (itself if it stays): int64 [N].

    Greedy in the given order: a point stays unless one that stays is at least ``cosine`` similar; then the most
    similar of those stands for it. So no two that stay are that similar, and a chain of small steps can't pull in
    points that are unlike their representative.

    Args:
        unit_ND: float, unit length, most wanted first.

    The price is N^2 D FLOPs; memory is N x 1024 scores.
    """
    n = len(unit_ND)
    x_ND = torch.from_numpy(np.asarray(unit_ND, dtype=np.float32))
    stands_N = np.arange(n)
    kept = np.empty(0, np.int64)
    for start in range(0, n, BLOCK):
        rows = np.arange(start, min(start + BLOCK, n))
        block = x_ND[rows[0] : rows[-1] + 1]
        best_R = np.full(len(rows), -np.inf, np.float32)
        if len(kept):
            score_R, index_R = (block @ x_ND[torch.from_numpy(kept)].T).max(1)
            best_R = score_R.numpy()
            stands_N[rows] = np.where(best_R >= cosine, kept[index_R.numpy()], rows)
        inner_RR = (block @ block.T).numpy()
        near_RR = np.tril(inner_RR >= cosine, -1)
        for i in np.flatnonzero(near_RR.any(1)):  # within the block the order matters
            earlier = np.flatnonzero(near_RR[i] & (stands_N[rows] == rows))
            if not len(earlier):
                continue
            j = earlier[inner_RR[i, earlier].argmax()]
            if inner_RR[i, j] >= best_R[i]:
                stands_N[rows[i]] = rows[j]
        kept = np.concatenate([kept, rows[stands_N[rows] == rows]])
    return stands_N
