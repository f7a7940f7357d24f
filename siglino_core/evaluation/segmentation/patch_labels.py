"""Which classes a patch's pixels have.

Legend: H and W pixels of a label, h and w patches, C classes.
"""

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.segmentation.iou import IGNORE


def patch_classes(mask_HW: np.ndarray, grid: tuple[int, int], num_classes: int, ignore: int = IGNORE) -> np.ndarray:
    """The share of each class in a patch's labelled area: fp64 [h, w, C], which sums to 1, or to 0 without a label.

    The grid covers the label whatever its size: a pixel that lies in two patches counts for each by the area there.

    Raises:
        DataError: a class that there is not.
    """
    down_hH, across_wW = _overlaps(mask_HW.shape[0], grid[0]), _overlaps(mask_HW.shape[1], grid[1])
    shares_hwC = np.zeros((*grid, num_classes))
    for number in np.unique(mask_HW).tolist():
        if number == ignore:
            continue
        if not 0 <= number < num_classes:
            raise DataError(f"a label has class {number}, and there are {num_classes}: from 0 to {num_classes - 1}")
        shares_hwC[..., number] = down_hH @ (mask_HW == number) @ across_wW.T
    areas_hw1 = shares_hwC.sum(2, keepdims=True)
    return np.divide(shares_hwC, areas_hw1, out=np.zeros_like(shares_hwC), where=areas_hw1 > 0)


def _overlaps(pixels: int, patches: int) -> np.ndarray:
    """How much of each pixel's side lies in each patch: [patches, pixels], of whole numbers.

    Both sides are cut into ``pixels * patches`` pieces, so that no rounding moves a border.
    """
    starts, edges = np.arange(pixels) * patches, np.arange(patches)[:, None] * pixels
    return (np.minimum(starts + patches, edges + pixels) - np.maximum(starts, edges)).clip(0).astype(np.float64)
