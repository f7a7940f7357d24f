"""Cells hold whole clusters, not more images than they may, and near ones together."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.curation.dedup import cells as module
from siglino_core.curation.dedup.cells import cells


def hierarchy(rng: np.random.Generator, counts: list[int]) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Sizes, parents and centroids of levels with so many clusters."""
    size = rng.integers(0, 60, counts[0]) * (rng.random(counts[0]) < 0.9)
    parents = [rng.integers(0, above, below) for below, above in itertools.pairwise(counts)]
    return size, parents, [rng.standard_normal((k, 4)).astype(np.float32) for k in counts]


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 80), min_size=1, max_size=3), st.integers(1, 500), st.booleans())
def test_no_cell_is_too_large_but_a_lone_cluster(seed: int, counts: list[int], most: int, known: bool) -> None:
    counts = sorted(counts, reverse=True)
    size, parents, centroids = hierarchy(np.random.default_rng(seed), counts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "KNOWN", 1 << 17 if known else 0)
        found = cells(size, parents, lambda level: centroids[level - 1], most=most)
    assert found.shape == size.shape
    images, clusters = np.bincount(found, size), np.bincount(found)
    assert (clusters > 0).all()  # numbered without gaps
    assert ((images <= most) | (clusters == 1)).all()


def test_a_small_pool_is_one_cell() -> None:
    size, parents, centroids = hierarchy(np.random.default_rng(0), [50, 5])
    assert not cells(size, parents, lambda level: centroids[level - 1], most=4096).any()


def test_small_clusters_that_are_near_lie_together() -> None:
    rng = np.random.default_rng(1)
    place = rng.integers(0, 4, 200)
    centroid = (10 * np.eye(4)[place] + rng.standard_normal((200, 4))).astype(np.float32)
    found = cells(np.full(200, 3), [], lambda _: centroid, most=300)
    for cell in np.unique(found):
        assert len(set(place[found == cell])) <= 2
    assert len(np.unique(found)) < 12


def test_clusters_with_one_centroid_are_told_apart_by_number() -> None:
    found = cells(np.full(40, 10), [], lambda _: np.ones((40, 4), np.float32), most=100)
    assert np.bincount(found, np.full(40, 10)).max() <= 100
