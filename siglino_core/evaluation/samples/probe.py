"""What a sample teaches a classifier: ridge regression on its labels, tested on images that were held out.

Legend: M train rows, N test rows, D width, C classes, P classes that train rows have.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from siglino_core.evaluation.arrays import blocks
from siglino_core.evaluation.samples.ridge import fit
from siglino_core.statistics.diversity import rare_half

MOST = 20_000  # rows to train on, and rows to test
STRENGTH = 0.03  # within a tenth of the best for random samples of the demo (best at 0.1) and of a mixture (at 0.001)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Shares of right answers, a mean over labels each: of all that are tested, and of their rarer half."""

    macro: float
    rare: float


def probe(
    train_MD: np.ndarray,
    train_label_M: np.ndarray,
    test_ND: np.ndarray,
    test_label_N: np.ndarray,
    pool_C: np.ndarray,
) -> Learned:
    """Train on a sample, and test.

    A label that no train row has is never the answer, so that its test images count as wrong.

    Args:
        train_MD, test_ND: features, fp32 or fp64; at least one test row.
        train_label_M, test_label_N: class numbers from 0.
        pool_C: images of each class in the pool, which says what is rare.
    """
    right_N = answers(train_MD, train_label_M, test_ND) == test_label_N
    tested_C = np.bincount(test_label_N, minlength=len(pool_C))
    recall_C = np.bincount(test_label_N, right_N, minlength=len(pool_C)) / np.maximum(tested_C, 1)
    tested = np.flatnonzero(tested_C)
    rare = tested[rare_half(pool_C[tested])] if len(tested) > 1 else tested
    return Learned(macro=float(recall_C[tested].mean()), rare=float(recall_C[rare].mean()))


def answers(train_MD: np.ndarray, train_label_M: np.ndarray, test_ND: np.ndarray) -> np.ndarray:
    """The class of the highest score, int64 [N]: the lowest of equal ones; -1 where there are no train rows.

    Targets are one-hot, which gives the same answers as targets of 1 and -1.
    """
    answer_N = np.full(len(test_ND), -1, np.int64)
    present_P, place_M = np.unique(train_label_M, return_inverse=True)
    if not len(present_P):
        return answer_N
    ones = np.ones(len(place_M))
    one_hot = csr_array((ones, place_M, np.arange(len(place_M) + 1)), shape=(len(place_M), len(present_P)))
    fitted = fit(train_MD, one_hot, STRENGTH)
    for rows in blocks(len(test_ND), max(len(present_P), test_ND.shape[1])):
        answer_N[rows] = present_P[fitted.scores(test_ND[rows]).argmax(1)]
    return answer_N
