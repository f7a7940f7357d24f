"""How like patches are to their image's summary and to one another: the collapse that Gram anchoring fights.

As training goes on, patches may all turn towards the summary: tasks on whole images gain, dense ones lose. Then the
similarities here rise and the share of variance within images falls.

Legend: I images, P patches of an image, D width.
Source: Siméoni et al. 2025, "DINOv3", section 4.1 (arXiv:2508.10104).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, plain, unit

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True)
class PatchProfile:
    """Over all patches of all images, each of length 1.

    Attributes:
        to_summary: mean cosine of a patch and its image's summary.
        to_summary_quantiles: of the same cosines.
        to_one_another: mean cosine of two patches of an image; NaN where no image has two.
        within_images: the share of the patches' variance that lies within images; 0: all patches of an image are
            equal; NaN: all patches are.
    """

    to_summary: float
    to_summary_quantiles: Mapping[float, float]
    to_one_another: float
    within_images: float
    images: int
    patches: int


def patch_profile(images: Iterable[tuple[Array, Array]]) -> PatchProfile:
    """The profile of images, of which one is in memory at a time.

    Args:
        images: patches, [h, w, D] or [P, D], and the summary [D] in the same space, of each.

    Raises:
        DataError: no patches, widths that differ, or features that are not finite or zero.
    """
    cosines, pairs, pair_sum, within = [], 0, 0.0, 0.0
    total_D, count = np.zeros(0), 0
    for number, (patches, summary) in enumerate(images):
        patches_PD, summary_1D = plain(patches), plain(summary)[None]
        patches_PD = patches_PD.reshape(-1, patches_PD.shape[-1])
        if patches_PD.shape[1] != summary_1D.shape[-1]:
            width = summary_1D.shape[-1]
            raise DataError(
                f"image {number}: patches are {patches_PD.shape[1]} wide, the summary {width}: not one space"
            )
        if not len(patches_PD):
            continue
        patches_PD = unit(patches_PD, f"patches of image {number}", dtype=np.float64)
        summary_1D = unit(summary_1D, f"the summary of image {number}", dtype=np.float64)
        cosines.append((patches_PD @ summary_1D[0]).astype(np.float32))
        p, sum_D = len(patches_PD), patches_PD.sum(0)
        square = float(sum_D @ sum_D)
        pairs, pair_sum = pairs + p * (p - 1), pair_sum + square - p
        within += p - square / p
        total_D, count = (total_D if count else np.zeros(len(sum_D))) + sum_D, count + p
    if not count:
        raise DataError("no patches: a profile needs at least one")
    everything = np.concatenate(cosines).astype(np.float64)
    variance = count - float(total_D @ total_D) / count
    constant = variance <= 1e-12 * count
    return PatchProfile(
        to_summary=float(everything.mean()),
        to_summary_quantiles=dict(zip(QUANTILES, np.quantile(everything, QUANTILES).tolist(), strict=True)),
        to_one_another=pair_sum / pairs if pairs else float("nan"),
        within_images=float("nan") if constant else min(1.0, max(0.0, within / variance)),
        images=len(cosines),
        patches=count,
    )
