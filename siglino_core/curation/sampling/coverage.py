"""How far apart images stand inside a cluster: which to take first so that few cover much, and which stand alone.

M members of a cluster, D channels. Distances are squared Euclidean between unit vectors: 0 (same) to 4 (opposite).
"""

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


def knn_distance(unit_MD: np.ndarray, neighbour: int = 2) -> np.ndarray:
    """Squared distance of each member to its ``neighbour``-th nearest other member: fp32 [M].

    4, the largest there is, where the cluster has no such neighbour. The second is asked for, so that a pair of
    copies of one odd image doesn't vouch for itself.
    """
    m = len(unit_MD)
    if m <= neighbour:
        return np.full(m, 4, np.float32)
    x_MD = torch.from_numpy(np.ascontiguousarray(unit_MD, dtype=np.float32))
    lonely = [2 - 2 * (x_MD[i : i + 1024] @ x_MD.T).topk(neighbour + 1, dim=1).values[:, -1] for i in range(0, m, 1024)]
    return np.clip(torch.cat(lonely).numpy(), 0, 4)
