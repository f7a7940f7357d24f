"""How often scores name the right class: top-1, top-5, and by class.

Legend: N samples, F samples that could not be read, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, class_ids, matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class Classified:
    """What was answered, sample by sample, and the shares of it.

    Attributes:
        predictions_N: the class of the highest score, int64; the lowest of those that are equal.
        correct_N: whether it is the label.
        top5_N: whether fewer than 5 other classes score as high as the label, or more; None with fewer than 5 classes.
            A correct sample is among them.
        recall_C: the share of a class's samples that is correct, fp64; NaN of a class without samples.
        n: N + F.
    """

    predictions_N: np.ndarray
    correct_N: np.ndarray
    top5_N: np.ndarray | None
    recall_C: np.ndarray
    n: int

    @property
    def top1(self) -> float:
        """The share of samples whose class was named; what could not be read was not."""
        return float(self.correct_N.sum() / self.n)

    @property
    def top5(self) -> float | None:
        """The share with the class among the first 5; None with fewer than 5 classes."""
        return None if self.top5_N is None else float(self.top5_N.sum() / self.n)

    @property
    def mean_recall(self) -> float:
        """The mean over the classes that have samples, each as heavy as the others."""
        return float(np.nanmean(self.recall_C))


def classified(scores: Array, labels: Array, *, failed: Sequence[int] = ()) -> Classified:
    """Judge scores.

    Args:
        scores: [N, C], the higher the likelier; votes, logits or probabilities.
        labels: class numbers, [N].
        failed: labels of the F samples that could not be read: they count, as wrong.

    Raises:
        DataError: no samples, scores that are NaN or +inf, labels out of range or not one a row.
    """
    scores_NC = matrix(scores, "scores", infinite=True)
    n, c = scores_NC.shape
    labels_N = class_ids(labels, "labels", rows=n, num_classes=c)
    failed_F = class_ids(np.asarray(failed, np.int64), "failed labels", rows=len(failed), num_classes=c)
    if not n + len(failed_F):
        raise DataError("no samples: a share needs at least one")
    predictions_N = scores_NC.argmax(1) if n else np.empty(0, np.int64)
    correct_N = predictions_N == labels_N
    return Classified(
        predictions_N=predictions_N,
        correct_N=correct_N,
        top5_N=(label_ranks(scores_NC, labels_N) <= 5) | correct_N if c >= 5 else None,
        recall_C=recalls(correct_N, labels_N, failed_F, c),
        n=n + len(failed_F),
    )


def label_ranks(scores_NC: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """1 + the number of other classes that score as high as the label, or higher: int64 [N]."""
    own_N1 = scores_NC[np.arange(len(scores_NC)), labels_N][:, None]
    return (scores_NC >= own_N1).sum(1)  # the label itself is the 1


def recalls(correct_N: np.ndarray, labels_N: np.ndarray, failed_F: np.ndarray, c: int) -> np.ndarray:
    """The share of each class's samples that is correct, fp64 [C]; NaN of a class without samples."""
    there_C = np.bincount(np.concatenate([labels_N, failed_F]), minlength=c)
    right_C = np.bincount(labels_N[correct_N], minlength=c)
    return np.where(there_C > 0, right_C / np.maximum(there_C, 1), np.nan)
