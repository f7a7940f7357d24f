"""What a sample teaches without its labels: a cheap student, kernel ridge regression from pixels to features.

It stands for distillation as a probe stands for classification: RBF kernels of the pixels, one solution, no training
that could go well or badly. Its explained variance is over held-out images, each label as heavy as the others.

Legend: M train rows, N test rows, F numbers of an image's pixels, D channels of the encoder, S rows of a subset.
"""

from dataclasses import dataclass

import numpy as np

from siglino_core.evaluation.arrays import blocks
from siglino_core.evaluation.samples.ridge import solve

MOST = 4096  # train rows: the price is M^3 / 3 FLOPs
MOST_TEST = 10_000
# The ridge's penalty, beside a kernel's own diagonal of 1: a random sample of the demo learns best there.
STRENGTH = 1.0
PAIRED = 1024  # rows whose distances tell the bandwidth


def bandwidth(pixels_SF: np.ndarray) -> float:
    """The median distance of two of the rows, which the kernel takes as its width; 1 where all are the same.

    Source: Garreau, Jitkrittum, Kanagawa 2017, "Large sample analysis of the median heuristic" (arXiv:1707.07269).
    """
    rows = pixels_SF[:PAIRED].astype(np.float64)
    d2_SS = squared_distances(rows, rows)[np.triu_indices(len(rows), 1)]
    middle = float(np.median(d2_SS)) ** 0.5 if len(d2_SS) else 0.0
    return middle or 1.0


def squared_distances(first_ND: np.ndarray, second_MD: np.ndarray) -> np.ndarray:
    """Of all pairs: fp64 [N, M], never negative."""
    first_N1, second_M = np.square(first_ND).sum(1, keepdims=True), np.square(second_MD).sum(1)
    return np.maximum(first_N1 + second_M - 2 * (first_ND @ second_MD.T), 0)


def kernel(first_NF: np.ndarray, second_MF: np.ndarray, width: float) -> np.ndarray:
    """exp(-|a - b|^2 / (2 width^2)) of all pairs, fp64 [N, M]."""
    first, second = first_NF.astype(np.float64), second_MF.astype(np.float64)
    return np.exp(squared_distances(first, second) / (-2 * width**2))


@dataclass(frozen=True, kw_only=True, eq=False)
class Exam:
    """The held-out images that every student is tested on.

    Attributes:
        pixels_NF, features_ND: of each.
        label_N: class numbers from 0.
        center_D: features that say nothing of an image, fp64: the pool's mean. What they leave is the variance.
        width: the kernel's.
    """

    pixels_NF: np.ndarray
    features_ND: np.ndarray
    label_N: np.ndarray
    center_D: np.ndarray
    width: float

    def explained(self, pixels_MF: np.ndarray, features_MD: np.ndarray) -> float:
        """1 - error / variance of a student of these rows; both are means over labels of their images' means.

        At most 1; 0 of a student that always answers the pool's mean; below 0 of a worse one.
        """
        answered_ND = student(pixels_MF, features_MD, self.pixels_NF, self.width)
        return 1 - self._by_label(self.features_ND - answered_ND) / self._by_label(self.features_ND - self.center_D)

    def _by_label(self, off_ND: np.ndarray) -> float:
        count_C = np.bincount(self.label_N)
        total_C = np.bincount(self.label_N, np.square(off_ND, dtype=np.float64).sum(1))
        return float((total_C[count_C > 0] / count_C[count_C > 0]).mean())


def student(pixels_MF: np.ndarray, features_MD: np.ndarray, pixels_NF: np.ndarray, width: float) -> np.ndarray:
    """What kernel ridge regression on the train rows says of the others: fp64 [N, D]; targets are centred."""
    mean_D = features_MD.mean(0, dtype=np.float64)
    dual_MD = solve(kernel(pixels_MF, pixels_MF, width), features_MD - mean_D, STRENGTH)
    answered_ND = np.empty((len(pixels_NF), features_MD.shape[1]))
    for rows in blocks(len(pixels_NF), max(len(pixels_MF), pixels_NF.shape[1])):
        answered_ND[rows] = kernel(pixels_NF[rows], pixels_MF, width) @ dual_MD + mean_D
    return answered_ND
