"""What a sample holds: how its labels are balanced, how many near-duplicates it keeps, and how much junk.

Legend: N images of the pool, T of the sample, C classes, D channels.
"""

import numpy as np

from siglino_core.evaluation.arrays import blocks
from siglino_core.statistics.diversity import effective_number, rare_half


def balance(sample_C: np.ndarray, pool_C: np.ndarray) -> dict[str, float]:
    """Effective labels, the rare half's share of the labelled images, and labels with at least one image.

    Args:
        sample_C, pool_C: images of each class.
    """
    rare = rare_half(pool_C)
    return {
        "effective_labels": effective_number(sample_C),
        "rare_half_share": float(sample_C[rare].sum() / max(1, sample_C.sum())),
        "labels_covered": float((sample_C > 0).sum()),
    }


def near_duplicates(unit_TD: np.ndarray, cosine: float) -> float:
    """The share of the rows with a cosine of at least ``cosine`` to another one of them; T^2 D FLOPs."""
    near_T = np.zeros(len(unit_TD), bool)
    for rows in blocks(len(unit_TD), len(unit_TD)):  # each pair once: what stands before the block has seen it
        near_RT = unit_TD[rows] @ unit_TD[rows.start :].T >= cosine
        near_RT[np.arange(len(near_RT)), np.arange(len(near_RT))] = False
        near_T[rows] |= near_RT.any(1)
        near_T[rows.start :] |= near_RT.any(0)
    return float(near_T.mean()) if len(unit_TD) else 0.0
