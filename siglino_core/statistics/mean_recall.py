"""How sure a mean over classes of shares of yes and no answers is, each class as heavy as the others.

Legend: N samples, C classes.
"""

import numpy as np

from siglino_core.errors import DataError
from siglino_core.statistics.interval import Interval
from siglino_core.statistics.proportion import quantile


def mean_recall_interval(correct: np.ndarray, labels: np.ndarray, *, level: float = 0.95) -> Interval:
    """Mean per-class recall and Wilson's interval at its effective number of samples; ``n`` counts samples.

    A bootstrap of samples loses the classes of one or two, so that its draws have another mean, and it never sees what
    a class of one right answer might have been otherwise. Here a class's variance is that of its recall drawn to the
    mean by one sample, so that no class is sure.

    Args:
        correct: bool [N].
        labels: class numbers, [N]; only the classes that are there count.

    Raises:
        DataError: no samples, or not one label each.

    Source: Wilson 1927; the effective sample size of Korn and Graubard 1998, "Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data".
    """
    correct_N, labels_N = np.asarray(correct, bool), np.asarray(labels)
    if correct_N.ndim != 1 or correct_N.shape != labels_N.shape or not len(labels_N):
        raise DataError(f"answers of shape {correct_N.shape} and labels of {labels_N.shape}: one each, at least one")
    _, class_N = np.unique(labels_N, return_inverse=True)
    counts_C = np.bincount(class_N)
    right_C = np.bincount(class_N, weights=correct_N)
    value = float((right_C / counts_C).mean())
    if len(labels_N) < 2:
        return Interval(mean=value, n=len(labels_N))
    share_C = (right_C + value) / (counts_C + 1)
    # n answers of one difficulty p have, so drawn, p (1 - p) (1 - n / (n + 1) ** 2) in the mean
    variance_C = share_C * (1 - share_C) / (1 - counts_C / (counts_C + 1) ** 2) / counts_C
    variance = float(variance_C.sum()) / len(counts_C) ** 2
    # of classes that are all as hard it is this; where all is right, or nothing, there is no other
    effective = len(counts_C) / float((1 / counts_C).mean())
    if variance > 0:
        effective = value * (1 - value) / variance
    z2 = quantile((1 + level) / 2) ** 2
    centre = (value + z2 / (2 * effective)) / (1 + z2 / effective)
    half = (z2 * (value * (1 - value) / effective + z2 / (4 * effective**2))) ** 0.5 / (1 + z2 / effective)
    # at the ends the formula gives 0 and 1 but for rounding
    return Interval(mean=value, low=min(value, centre - half), high=max(value, centre + half), n=len(labels_N))
