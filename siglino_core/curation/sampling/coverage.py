"""How far apart images stand inside a cluster: which to take first so that few cover much, and which stand alone.

M members of a cluster, D channels, K nearest others. Distances are squared Euclidean between unit vectors: 0 (same) to
4 (opposite).
"""

from collections.abc import Iterator

import numpy as np
import torch

MOST = 8192  # members that are put in order; those beyond come last, all alike


def farthest_first(unit_MD: np.ndarray, start: int) -> np.ndarray:
    """The distance at which each member joins a farthest-first traversal from ``start``: fp32 [M], finite.

    The start's is that of the second, 4 if there is none: so starts of clusters whose members are farther apart, and
    lone members, come first where there are more clusters than places.

    Taking all members that join at more than r leaves gaps of at most r and no two closer than r (Gonzalez 1985): one
    number a member says in which order a cluster is thinned, and numbers of different clusters compare.
    The price is M^2 D FLOPs for the products, and M steps of M numbers.
    """
    m = len(unit_MD)
    x_MD = torch.from_numpy(np.ascontiguousarray(unit_MD, dtype=np.float32))
    gram_MM = (x_MD @ x_MD.T).numpy() if m <= MOST else None
    cover_distance_M = np.zeros(m, np.float32)
    nearest_M = np.full(m, np.inf, np.float32)
    at, distance = start, np.float32(np.inf)
    for _ in range(min(m, MOST)):
        cover_distance_M[at] = distance
        cosine_M = gram_MM[at] if gram_MM is not None else (x_MD @ x_MD[at]).numpy()
        np.minimum(nearest_M, 2 - 2 * cosine_M, out=nearest_M)
        nearest_M[at] = -np.inf
        at = int(nearest_M.argmax())
        distance = np.maximum(nearest_M[at], np.float32(0))
    cover_distance_M[start] = np.partition(cover_distance_M, -2)[-2] if m > 1 else 4
    return cover_distance_M


NAMED = 3  # nearest ones among which a neighbour has an image that is not alone
MUTUAL = 0.5  # what such an image's distance counts


def outlier_distance(unit_MD: np.ndarray, neighbour: int = 2) -> np.ndarray:
    """How far each member stands from the others: fp32 [M], 0 to 4.

    It is the squared distance to its ``neighbour``-th nearest, and half of that if one of those up to it has the member
    among its own three nearest: members of a small class that is spread wide name one another, while to an image of
    nothing others are near that have nearer ones of their own. (Mutual neighbours: Brito et al. 1997.)

    4, the largest there is, where the cluster has no such neighbour. The second is asked for, so that a pair of
    copies of one odd image doesn't vouch for itself.
    """
    m = len(unit_MD)
    if m <= neighbour:
        return np.full(m, 4, np.float32)
    x_MD = torch.from_numpy(np.ascontiguousarray(unit_MD, dtype=np.float32))
    cosine_MK, near_MK = (torch.cat(found).numpy() for found in zip(*_nearest(x_MD, min(NAMED, m - 1)), strict=True))
    distance_M = np.clip(2 - 2 * cosine_MK[:, neighbour - 1], 0, 4)
    own_M11 = np.arange(m)[:, None, None]
    mutual_M = (near_MK[near_MK[:, :neighbour]] == own_M11).any(axis=(1, 2))
    return np.where(mutual_M, MUTUAL * distance_M, distance_M).astype(np.float32)


def _nearest(x_MD: torch.Tensor, k: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Cosines and positions of each member's k nearest others, the nearest first, some rows at a time."""
    for start in range(0, len(x_MD), 1024):
        cosine = x_MD[start : start + 1024] @ x_MD.T
        row = torch.arange(len(cosine))
        cosine[row, row + start] = -torch.inf
        found = cosine.topk(k, dim=1)
        yield found.values, found.indices
