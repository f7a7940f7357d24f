"""Two ways to choose that look at the whole pool at once: baselines, for pools small enough.

Legend: N images, T of the sample, D channels.
"""

import numpy as np

from siglino_core.curation.sampling.facility import gains_at_once

MOST = 12_000  # images: facility location holds N^2 fp32 cosines


def k_centre(unit_ND: np.ndarray, target: int, start: int) -> np.ndarray:
    """Farthest-first traversal: int64 [T], in the order of choice; of equally far images the first.

    Source: Gonzalez 1985, "Clustering to minimize the maximum intercluster distance"; as core-sets in Sener and
    Savarese 2018 (arXiv:1708.00489). The price is T N D FLOPs.
    """
    chosen_T = np.empty(target, np.int64)
    best_N, at = np.full(len(unit_ND), -np.inf, np.float32), start
    for i in range(target):
        chosen_T[i] = at
        np.maximum(best_N, unit_ND @ unit_ND[at], out=best_N)
        best_N[at] = np.inf
        at = int(best_N.argmin())
    return chosen_T


def facility_location(unit_ND: np.ndarray, target: int) -> np.ndarray:
    """Greedily the images whose addition raises the sum over all of their best cosine (0 at least) the most.

    int64 [T], in the order of choice. What the default recipe does inside clusters, over the whole pool.
    """
    return np.argsort(-gains_at_once(unit_ND), kind="stable")[:target]
