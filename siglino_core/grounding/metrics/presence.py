"""Whether what is asked for is in the image: how often that was said rightly.

Legend: N samples, B draws.
"""

from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, plain


@dataclass(frozen=True, kw_only=True, eq=False)
class Presence:
    """Answers beside the truth, bool [N] each: True is present."""

    said_N: np.ndarray
    true_N: np.ndarray

    @property
    def n(self) -> int:
        return len(self.true_N)

    @property
    def correct_N(self) -> np.ndarray:
        return self.said_N == self.true_N

    @property
    def rows_N4(self) -> np.ndarray:
        """Which of true and false positives, false and true negatives each is, int64: sums of them make :func:`mcc`."""
        said_N, true_N = self.said_N, self.true_N
        return np.stack([said_N & true_N, said_N & ~true_N, ~said_N & true_N, ~said_N & ~true_N], 1).astype(np.int64)

    @property
    def accuracy(self) -> float:
        return float(self.correct_N.mean())

    @property
    def mcc(self) -> float:
        """Matthews' correlation of answers and truth."""
        return float(mcc(self.rows_N4.sum(0, keepdims=True))[0])


def presence(said: Array, true: Array) -> Presence:
    """Judge answers.

    Args:
        said, true: bool [N].

    Raises:
        DataError: no samples, other types, or not as many of both.
    """
    said_N, true_N = plain(said), plain(true)
    if said_N.dtype != np.bool_ or true_N.dtype != np.bool_ or said_N.ndim != 1 or said_N.shape != true_N.shape:
        raise DataError(
            f"answers of {said_N.dtype} {said_N.shape} to truths of {true_N.dtype} {true_N.shape}: both need bool [N]"
        )
    if not len(true_N):
        raise DataError("no samples: a share needs at least one")
    return Presence(said_N=said_N, true_N=true_N)


def mcc(sums_B4: np.ndarray) -> np.ndarray:
    """Matthews' correlation coefficient from counts of true and false positives, false and true negatives: fp64 [B].

    It is 0 where all answers are the same, or all truths are: a constant answer knows nothing.

    Source: Matthews 1975. The form fits `statistics.bootstrap.statistic_interval`.
    """
    tp, fp, fn, tn = np.asarray(sums_B4, np.float64).T
    under = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return np.where(under > 0, (tp * tn - fp * fn) / np.where(under > 0, under, 1), 0.0)
