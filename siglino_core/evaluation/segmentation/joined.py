"""Patches of two views side by side, each of length 1: one vector whose cosines are the mean of theirs.

Legend: h and w patches, D and E widths, H and W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.segmentation.dense import Dense, DenseSample


@dataclass(frozen=True, eq=False)
class Joined:
    """`dense.Dense` of two views of the same images in the same order.

    Raises:
        DataError: while it is read: images or grids differ.
    """

    first: Dense
    second: Dense

    def __iter__(self) -> Iterator[DenseSample]:
        for one, other in zip(self.first, self.second, strict=True):
            (name, a_hwD, mask_HW), (same, b_hwE, _) = one, other
            if name != same or a_hwD.shape[:2] != b_hwE.shape[:2]:
                raise DataError(f"{name} {a_hwD.shape[:2]} and {same} {b_hwE.shape[:2]}: two views of other patches")
            joined = np.concatenate([_unit(a_hwD), _unit(b_hwE)], 2) * np.float32(0.5**0.5)
            yield DenseSample(name, joined, mask_HW)


def _unit(patches_hwD: np.ndarray) -> np.ndarray:
    """fp32; a patch of zeros, which has no direction, stays zeros."""
    wide_hwD = patches_hwD.astype(np.float32)
    length_hw1 = np.linalg.norm(wide_hwD, axis=2, keepdims=True)
    return wide_hwD / np.where(length_hw1 > 0, length_hw1, 1)
