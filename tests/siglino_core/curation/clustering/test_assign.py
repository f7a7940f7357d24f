"""Nearest centroids agree with brute force in fp64, whatever the tiles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.curation.clustering import assign as engine
from siglino_core.curation.clustering.assign import nearest, tiles


def brute(points: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return ((points[:, None].astype(np.float64) - centroids[None].astype(np.float64)) ** 2).sum(2)


@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (500, 37, 16), (3, 200, 7), (2000, 8, 64)])
def test_against_brute_force(n: int, k: int, d: int) -> None:
    rng = np.random.default_rng(n)
    points, centroids = rng.normal(size=(n, d)).astype(np.float16), rng.normal(size=(k, d)).astype(np.float32)
    ids, d2 = nearest(points, torch.from_numpy(centroids))
    exact = brute(points, centroids)
    assert (ids.dtype, d2.dtype, ids.shape, d2.shape) == (np.int32, np.float32, (n,), (n,))
    assert exact[np.arange(n), ids] == pytest.approx(exact.min(1), rel=1e-5, abs=1e-5)
    assert d2 == pytest.approx(exact.min(1), rel=1e-4, abs=1e-4)
    assert (ids == exact.argmin(1)).mean() > 0.999


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 40), st.integers(1, 9))
def test_ties_go_to_the_lower_id(seed: int, n: int, k: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(-2, 3, (n, d)).astype(np.float16)  # whole numbers: every score is exact, ties are many
    centroids = rng.integers(-2, 3, (k, d)).astype(np.float32)
    ids, d2 = nearest(points, torch.from_numpy(centroids))
    exact = brute(points, centroids)
    assert np.array_equal(ids, exact.argmin(1))
    assert np.array_equal(d2, exact.min(1))


def test_a_point_on_a_centroid_has_no_negative_distance() -> None:
    points = np.random.default_rng(0).normal(size=(300, 64)).astype(np.float16)
    ids, d2 = nearest(points, torch.from_numpy(points.astype(np.float32)))
    assert np.array_equal(ids, np.arange(300))
    assert (d2 >= 0).all()
    assert d2.max() < 1e-4


def test_tiles_change_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    points, centroids = rng.normal(size=(700, 24)).astype(np.float16), rng.normal(size=(50, 24)).astype(np.float32)
    ids, d2 = nearest(points, torch.from_numpy(centroids))
    for tile in (50 * 16, 50 * 100, 50 * 699):
        monkeypatch.setattr(engine, "TILE", tile)
        cut, cut_d2 = nearest(points, torch.from_numpy(centroids))
        assert np.array_equal(cut, ids)
        assert cut_d2 == pytest.approx(d2, rel=1e-5)


@pytest.mark.parametrize(("n", "k"), [(0, 5), (1, 1), (8192, 1), (8193, 1), (100, 1 << 21), (100, 1 << 30)])
def test_tiles_cover_every_row_once_and_stay_small(n: int, k: int) -> None:
    found = list(tiles(n, k))
    assert [i for t in found for i in range(t.start, t.stop)] == list(range(n))
    assert all((t.stop - t.start) * k <= engine.TILE or t.stop - t.start <= 16 for t in found)


def test_no_points() -> None:
    ids, d2 = nearest(np.empty((0, 3), np.float16), torch.zeros(2, 3))
    assert ids.shape == d2.shape == (0,)
