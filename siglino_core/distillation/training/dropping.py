"""Teacher dropping: an image learns from the teacher that it is worst at, and from the others by chance.

Source: Sariyildiz et al. 2024, "UNIC" (arXiv 2408.05088), the section on teacher dropping. Of every image the teacher
with the largest loss stays, each other one is left out with probability p, and what stays is divided by how much stays.
Here that divisor is its expectation, so that it needs neither the other ranks' images nor the step's later passes; and
teachers are summed, not averaged, as without dropping.

B images, M teachers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from siglino_core.hashing import id_bits, key_of, uniform


def draws(seed: int, teachers: Sequence[str], epochs_B: np.ndarray, image_ids: Sequence[str]) -> Tensor:
    """A uniform number in (0, 1) for each teacher and image: fp64 [M, B].

    It depends on the seed, the teacher's name, the epoch and the image alone: not on ranks, packs or a resume.
    """
    out_MB = np.empty((len(teachers), len(image_ids)))
    bits_B = id_bits(image_ids)
    for epoch in np.unique(epochs_B):
        in_epoch = epochs_B == epoch
        for row, name in enumerate(teachers):
            out_MB[row, in_epoch] = uniform(key_of(seed, "drop", name, int(epoch)), bits_B[in_epoch])
    return torch.from_numpy(out_MB)


def coefficients(errors_MB: Tensor, draws_MB: Tensor, probability: float) -> Tensor:
    """What each teacher's errors of each image count: 0, or what keeps the expected share of all at 1; [M, B].

    Args:
        errors_MB: each image's whole error by teacher; -inf where a teacher says nothing of an image.
        draws_MB: from :func:`draws`.
        probability: of leaving out a teacher that is not the image's worst.
    """
    says_MB = errors_MB > -torch.inf
    worst_MB = torch.zeros_like(says_MB).scatter_(0, errors_MB.argmax(0, keepdim=True), True)
    kept_MB = says_MB & (worst_MB | (draws_MB >= probability).to(errors_MB.device))
    said_B = says_MB.sum(0)
    expected_B = 1 + (said_B - 1) * (1 - probability)
    return kept_MB * (said_B / expected_B).to(errors_MB.dtype)
