"""RankMe counts directions, and its singular values are NumPy's."""

import numpy as np
import pytest
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation.rank_me import rank_me, singular_values


@pytest.mark.parametrize("shape", [(50, 8), (8, 50), (20, 20)])
def test_singular_values_against_numpy(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    features = np.random.default_rng(0).normal(size=shape) + 3
    expected = np.linalg.svd(features, compute_uv=False)
    np.testing.assert_allclose(singular_values(features), expected, rtol=1e-7)
    monkeypatch.setattr("siglino_core.evaluation.arrays.CELLS", 30)
    np.testing.assert_allclose(singular_values(features), expected, rtol=1e-7)


def test_sums_of_fp32_features_are_fp64() -> None:
    features = (np.random.default_rng(2).normal(size=(400, 6)) + 100).astype(np.float32)
    expected = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(singular_values(features), expected, rtol=1e-8)


def test_from_one_direction_to_all() -> None:
    assert rank_me(np.outer(np.arange(1, 40), np.ones(16))) == pytest.approx(1, abs=1e-3)
    assert rank_me(np.eye(16)) == pytest.approx(16, abs=1e-3)
    assert rank_me(np.eye(16)[:5]) == pytest.approx(5, abs=1e-3)


def test_by_hand() -> None:
    share = np.array([0.75, 0.25])
    expected = np.exp(-(share * np.log(share)).sum())
    assert rank_me([[3.0, 0.0], [0.0, 1.0], [0.0, 0.0]]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_does_not_matter(scale: float) -> None:
    features = np.random.default_rng(1).normal(size=(30, 6)).astype(np.float32)
    assert rank_me(features * np.float32(scale)) == pytest.approx(rank_me(features), rel=1e-5)


def test_half_precision_counts_as_fp32() -> None:
    half = torch.randn(30, 6, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert rank_me(half) == rank_me(half.float().numpy())


@pytest.mark.parametrize(
    ("features", "says"),
    [(np.empty((0, 3)), "at least one"), (np.zeros((2, 3)), "nothing but zeros"), (np.full((2, 3), np.nan), "row 0")],
)
def test_refused(features: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        rank_me(features)
