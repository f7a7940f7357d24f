"""Kernel herding: in which order a cluster's members are taken so that those taken are distributed as all of them are.

M members of a cluster, D channels.

Source: Chen, Welling, Smola 2010, "Super-samples from kernel herding" (arXiv 1203.3472), section 3: the next is the
one that is most like all, and least like those taken.
"""

import numpy as np
import torch

from siglino_core.curation.sampling.parts import in_parts

POWER = 1.5  # of a cosine: the higher, the nearer two images must be to count as alike
REPULSION = 1.5  # of those taken; 1 is the source's, above it what is rare in the cluster comes earlier
CENTRAL = 1e-3  # members nearer to the cluster's mean have no direction from it
ROUNDING = 1e-5  # scores that differ by less are equal


def herding_scores(unit_MD: np.ndarray) -> np.ndarray:
    """How early each member is taken: fp32 [M], of M members the t-th (from 0) at 1 - (t + 0.5) / M.

    So one threshold for the scores of several clusters takes the same share of each.

    Two members are alike as far as the cosine of their directions from the cluster's mean, 0 if it is negative, to the
    power :data:`POWER`. The next member is the one whose mean likeness to all, less `REPULSION` times its likeness to
    those taken (their sum, over their number and one), is largest. So the parts of a cluster are taken in turn, those
    of many members oftener, and each from its middle; then what is like nothing else, and last what repeats others.

    Args:
        unit_MD: float, unit length; of equal ones the first is taken. Large clusters are ordered in parts
            (`siglino_core.curation.sampling.parts`).

    The price is M^2 D FLOPs for the products, and M^2 for the order.
    """
    return in_parts(_scores, unit_MD)


def _scores(unit_MD: np.ndarray) -> np.ndarray:
    """As :func:`herding_scores`, of all members together."""
    m = len(unit_MD)
    if m < 2:
        return np.full(m, 0.5, np.float32)
    from_mean_MD = unit_MD - unit_MD.mean(0, dtype=np.float64).astype(np.float32)
    length_M1 = np.linalg.norm(from_mean_MD, axis=1, keepdims=True)
    x_MD = torch.from_numpy(np.where(length_M1 > CENTRAL, from_mean_MD / np.maximum(length_M1, CENTRAL), 0))
    alike_MM = (x_MD @ x_MD.T).clamp_(min=0).pow_(POWER).numpy()
    to_all_M = alike_MM.mean(0, dtype=np.float64)
    to_taken_M = np.zeros(m)  # inf for those taken themselves
    score_M = np.empty(m, np.float32)
    for turn in range(m):
        wanted_M = to_all_M - to_taken_M * (REPULSION / (turn + 1))
        at = int((wanted_M >= wanted_M.max() - ROUNDING).argmax())
        score_M[at] = 1 - (turn + 0.5) / m
        to_taken_M += alike_MM[at]
        to_taken_M[at] = np.inf
    return score_M
