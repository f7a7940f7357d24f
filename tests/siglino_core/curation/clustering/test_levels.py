"""Levels that nobody set follow from the pool and the sample."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.config import Config
from siglino_core.curation.clustering.levels import FACTOR, FEWEST, IMAGES, MOST, PICKS, derived, levels_of


@given(st.integers(1, 3 * 10**9), st.integers(1, 3 * 10**8), st.floats(1e-6, 1))
def test_they_fall_and_leave_each_cluster_enough(images: int, target: int, fraction: float) -> None:
    fitted = int(images * fraction)
    levels = derived(images, target, fitted)
    assert 1 <= len(levels) <= MOST
    assert all(a // FACTOR == b >= FEWEST for a, b in itertools.pairwise(levels))
    assert levels[0] == 1 or (levels[0] * IMAGES <= images and levels[0] * PICKS <= target and levels[0] * 2 <= fitted)


@pytest.mark.parametrize(("images", "target"), [(2900, 1500), (100_000, 20_000), (2_300_000_000, 200_000_000)])
def test_a_pool_s_own(images: int, target: int) -> None:
    config = Config()
    config = replace(config, sample=replace(config.sample, target_size=target))
    assert levels_of(config, images) == derived(images, target, images)
    assert levels_of(config, images)[0] == min(images // IMAGES, target // PICKS)


def test_those_set_stand() -> None:
    config = Config()
    assert levels_of(replace(config, cluster=replace(config.cluster, num_clusters=[7, 2])), 10**6) == [7, 2]
