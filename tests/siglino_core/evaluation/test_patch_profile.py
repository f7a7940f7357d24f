"""The profile by plain loops, and what a collapse looks like in it."""

import math

import numpy as np
import pytest
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import unit
from siglino_core.evaluation.patch_profile import patch_profile


def _images(seed: int, pull: float = 0.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Three images of several sizes; ``pull`` turns patches towards the summary."""
    rng = np.random.default_rng(seed)
    images = []
    for h, w in (2, 3), (4, 1), (3, 3):
        summary = rng.normal(size=8)
        images.append((rng.normal(size=(h, w, 8)) + pull * summary, summary))
    return images


def test_against_loops() -> None:
    images = _images(0)
    found = patch_profile(images)
    units = [unit(patches.reshape(-1, 8), dtype=np.float64) for patches, _ in images]
    cosines = [float(u @ s / np.linalg.norm(s)) for us, (_, s) in zip(units, images, strict=True) for u in us]
    pairs = [float(a @ b) for us in units for i, a in enumerate(us) for j, b in enumerate(us) if i != j]
    everything = np.concatenate(units)
    within = sum(((us - us.mean(0)) ** 2).sum() for us in units) / ((everything - everything.mean(0)) ** 2).sum()
    assert found.to_summary == pytest.approx(np.mean(cosines), rel=1e-6)
    assert list(found.to_summary_quantiles.values()) == pytest.approx(
        list(np.quantile(cosines, [0.05, 0.25, 0.5, 0.75, 0.95])), rel=1e-6
    )
    assert found.to_one_another == pytest.approx(np.mean(pairs))
    assert found.within_images == pytest.approx(within)
    assert (found.images, found.patches) == (3, 19)


def test_collapse() -> None:
    apart, together = patch_profile(_images(1)), patch_profile(_images(1, pull=20))
    assert abs(apart.to_summary) < 0.3
    assert together.to_summary > 0.99
    assert together.to_one_another > 0.98 > 0.5 > apart.to_one_another
    assert together.within_images < 0.05 < 0.5 < apart.within_images


def test_equal_patches() -> None:
    own = [(np.ones((2, 2, 3)) * row, np.ones(3)) for row in np.eye(3) + 0.1]
    assert patch_profile(own).within_images == pytest.approx(0)
    everywhere = patch_profile([(np.ones((2, 2, 3)), np.ones(3))] * 2)
    assert math.isnan(everywhere.within_images)
    assert (everywhere.to_summary, everywhere.to_one_another) == (pytest.approx(1), pytest.approx(1))


def test_one_patch_has_no_pair() -> None:
    found = patch_profile([(np.eye(2)[:1], np.array([1.0, 1.0])), (np.empty((0, 2)), np.ones(2))])
    assert math.isnan(found.to_one_another)
    assert found.to_summary == pytest.approx(0.5**0.5)
    assert (found.images, found.patches) == (1, 1)


def test_half_precision_counts_as_fp32() -> None:
    images = [(torch.from_numpy(p).half(), torch.from_numpy(s).bfloat16()) for p, s in _images(2)]
    assert patch_profile(images) == patch_profile([(p.float().numpy(), s.float().numpy()) for p, s in images])


def test_refused() -> None:
    with pytest.raises(DataError, match="no patches"):
        patch_profile([])
    with pytest.raises(DataError, match="image 0: patches are 3 wide, the summary 2"):
        patch_profile([(np.ones((1, 3)), np.ones(2))])
    with pytest.raises(DataError, match="row 0 of patches of image 0 is not finite"):
        patch_profile([(np.full((1, 3), np.nan), np.ones(3))])
