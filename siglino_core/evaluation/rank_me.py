"""How many directions features use: RankMe.

Legend: N samples, D width, K the smaller of both.
"""

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, blocks, matrix

EPSILON = 1e-7  # the paper's, added to every share


def rank_me(features: Array) -> float:
    """exp of the entropy of the singular values' shares: from 1, one direction, to the smaller of N and D, all alike.

    Features are taken as they are, not centred. The paper takes 25,600 of them; few say less than there is.

    Args:
        features: [N, D].

    Raises:
        DataError: no features, rows that are not finite, or nothing but zeros.

    Source: Garrido et al. 2023, "RankMe" (arXiv:2210.02885).
    """
    values_K = singular_values(features)
    if not values_K.any():
        raise DataError("features of nothing but zeros: they have no rank to speak of")
    share_K = values_K / values_K.sum() + EPSILON
    return float(np.exp(-(share_K * np.log(share_K)).sum()))


def singular_values(features: Array) -> np.ndarray:
    """Of features [N, D], falling, fp64 [K], from products of the smaller side; those under rounding are 0.

    Raises:
        DataError: no features, or rows that are not finite.
    """
    features_ND = matrix(features, "features")
    n, d = features_ND.shape
    if not n * d:
        raise DataError(f"features of shape {features_ND.shape}: a rank needs at least one")
    largest = float(np.abs(features_ND).max())
    if largest == 0:
        return np.zeros(min(n, d))
    if n < d:
        scaled_ND = features_ND.astype(np.float64) / largest
        gram_KK = scaled_ND @ scaled_ND.T
    else:
        gram_KK = np.zeros((d, d))
        for rows in blocks(n, d):
            part = features_ND[rows].astype(np.float64) / largest  # so that no square overflows or vanishes
            gram_KK += part.T @ part
    values_K = np.linalg.eigvalsh(gram_KK)[::-1]
    values_K = np.where(values_K > values_K[0] * max(n, d) * np.finfo(np.float64).eps, values_K, 0)
    return largest * np.sqrt(values_K)
