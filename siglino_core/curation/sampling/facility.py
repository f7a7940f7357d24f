"""Facility gain: in which order a cluster's members represent the cluster best.

M members of a cluster, D channels, C members whose best representative changes.

Source: the facility-location objective, greedily maximised (Nemhauser, Wolsey, Fisher 1978); as a rule for choosing
training images, Mirzasoleiman et al. 2020, "CRAIG" (arXiv 1906.01827), section 3, and Wei et al. 2015.
"""

import numpy as np
import torch

from siglino_core.curation.sampling.parts import in_parts

ROUNDING = 1e-4  # gains, in images, that differ by less are equal


def facility_gains(unit_MD: np.ndarray, weight_M: np.ndarray | None = None) -> np.ndarray:
    """What each member adds at the moment it is taken, the most useful first: fp32 [M], above 0 but for copies.

    A set of members is worth the sum, over all members, of the cosine to the nearest one in the set (0 if all are
    negative). A member's gain is what it adds to that; it counts its own cosine, 1, too. Gains fall from pick to pick,
    so that the k largest are those of the first k picks: one number a member says the order, and, since it counts
    images, numbers of different clusters compare.

    Args:
        unit_MD: float, unit length; of equal gains the first is taken. Large clusters are ordered in parts
            (`siglino_core.curation.sampling.parts`).
        weight_M: above 0, how much it counts that a member is represented, of which the sum is weighted; None: 1 each.

    The price is M^2 D FLOPs for the products, and about M^2 log M for the order.
    """
    return in_parts(gains_at_once, unit_MD, weight_M)


def gains_at_once(unit_MD: np.ndarray, weight_M: np.ndarray | None = None) -> np.ndarray:
    """As :func:`facility_gains`, of all members together, however many: holds M^2 cosines."""
    x_MD = torch.from_numpy(np.ascontiguousarray(unit_MD, dtype=np.float32))
    offer_MM = (x_MD @ x_MD.T).clamp_(min=0).numpy()  # row: who is represented; column: by whom
    if weight_M is not None:
        offer_MM *= weight_M.astype(np.float32)[:, None]
    best_M = np.zeros(len(x_MD), np.float32)  # what the nearest one taken offers to each member
    gain_M = np.zeros(len(x_MD), np.float32)
    left_M = offer_MM.sum(0)  # the gain of each, were it the next; of those taken -inf
    last = np.float32(np.inf)
    for _ in range(len(x_MD)):
        at = int((left_M >= left_M.max() - ROUNDING).argmax())
        closer_C = np.flatnonzero(offer_MM[:, at] > best_M)
        offered_CM, before_C = offer_MM[closer_C], best_M[closer_C]
        now_C = offered_CM[:, at]
        gain_M[at] = last = min(last, (now_C - before_C).sum())  # rounding could turn equal ones round
        # What the others offer to these members is worth less from now on; that to all others stays.
        lost_CM = np.clip(offered_CM, before_C[:, None], now_C[:, None]) - before_C[:, None]
        left_M -= lost_CM.sum(0)
        best_M[closer_C] = now_C
        left_M[at] = -np.inf
    return gain_M
