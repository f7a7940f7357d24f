"""Ridge regression, as the judges of samples use it: one strength by one rule, and nothing chosen.

A strength that is chosen on a part of the sample would differ between samples of one size, and its choice would be
noise in their difference. Here it is a fixed multiple of the mean eigenvalue of the features' scatter, which follows
from the sample's features alone: it scales with them and with their number, as the eigenvalues do.

Legend: M train rows, N test rows, D width, C targets, K rows of a Gram matrix.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """Scores are ``(x - center) weight + constant``, all fp64."""

    center_D: np.ndarray
    weight_DC: np.ndarray
    constant_C: np.ndarray

    def scores(self, x_ND: np.ndarray) -> np.ndarray:
        """fp64 [N, C]."""
        return (x_ND - self.center_D) @ self.weight_DC + self.constant_C


def fit(train_MD: np.ndarray, target_MC: np.ndarray | csr_array, strength: float) -> Fitted:
    """Least squares with a penalty on the squared weights and a free constant.

    The penalty is ``strength`` times the mean eigenvalue of the centred features' X'X.

    Args:
        train_MD: fp32 or fp64.
        target_MC: dense, or sparse as one-hot classes are.
        strength: above 0.

    By the normal equations where there are more rows than channels, else by their dual: M D min(M, D) FLOPs twice.
    """
    center_D, mean_C = train_MD.mean(0, dtype=np.float64), np.asarray(target_MC.mean(0), np.float64).reshape(-1)
    x_MD = train_MD - center_D
    m, d = x_MD.shape
    mean_eigenvalue = float(np.einsum("md,md->", x_MD, x_MD)) / d
    penalty = strength * mean_eigenvalue or 1.0  # of rows that are all the same nothing is learned, by any
    if m > d:  # X' of the constant is 0, so that the targets need no centring
        weight_DC = solve(x_MD.T @ x_MD, x_MD.T @ target_MC, penalty)
    else:
        dense_MC = target_MC.toarray() if isinstance(target_MC, csr_array) else target_MC
        weight_DC = x_MD.T @ solve(x_MD @ x_MD.T, dense_MC - mean_C, penalty)
    return Fitted(center_D=center_D, weight_DC=weight_DC, constant_C=mean_C)


def solve(gram_KK: np.ndarray, right_KC: np.ndarray, penalty: float) -> np.ndarray:
    """(gram + penalty I)^-1 right, by Cholesky; ``gram`` is positive semidefinite, and is overwritten."""
    gram_KK[np.diag_indices_from(gram_KK)] += penalty
    return cho_solve(cho_factor(gram_KK, lower=True, overwrite_a=True, check_finite=False), right_KC)
