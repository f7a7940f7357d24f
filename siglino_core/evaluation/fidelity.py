"""How near a student's summaries come to its teacher's, image by image.

Both are taken less the teacher's mean: what all images share is no knowledge of any of them, and who answers that mean
for all images scores 0. Another answer that is the same for all may score more, where most images are alike.

Legend: N samples, D width.
"""

from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, blocks, matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class Fidelity:
    """A student's nearness to a teacher.

    Attributes:
        cosine_N: fp64 [N], of each sample's student and teacher; 0 where either is the mean itself.
        explained: the share of the teacher's variance that the student explains: 1 less the squared error by the
            variance. Below 0 where the teacher's mean alone would be nearer.
    """

    cosine_N: np.ndarray
    explained: float


def fidelity(student: Array, teacher: Array) -> Fidelity:
    """Compare a student's head with what it was distilled from; sums are in fp64.

    Args:
        student, teacher: of the same samples in the same order and the same space, [N, D].

    Raises:
        DataError: other shapes, rows that are not finite, or a teacher whose samples are all alike.
    """
    student_ND, teacher_ND = matrix(student, "student's features"), matrix(teacher, "teacher's features")
    if student_ND.shape != teacher_ND.shape:
        raise DataError(f"student's features of shape {student_ND.shape}, teacher's of shape {teacher_ND.shape}")
    mean_D = teacher_ND.mean(0, dtype=np.float64) if len(teacher_ND) else np.zeros(teacher_ND.shape[1])
    cosine_N = np.zeros(len(teacher_ND))
    error = variance = squares = 0.0
    for rows in blocks(*teacher_ND.shape):
        s_ND, t_ND = student_ND[rows] - mean_D, teacher_ND[rows] - mean_D
        error += float(((s_ND - t_ND) ** 2).sum())
        variance += float((t_ND**2).sum())
        squares += float(np.square(teacher_ND[rows], dtype=np.float64).sum())
        lengths_N = np.linalg.norm(s_ND, axis=1) * np.linalg.norm(t_ND, axis=1)
        np.divide((s_ND * t_ND).sum(1), lengths_N, out=cosine_N[rows], where=lengths_N > 0)
    if variance <= np.finfo(np.float32).eps ** 2 * squares:  # what rounding alone makes of samples that are all alike
        raise DataError("the teacher says the same of all images, so that there is nothing to be near to")
    return Fidelity(cosine_N=cosine_N, explained=1 - error / variance)
