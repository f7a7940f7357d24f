"""The packer: every image in one pack, no pack over its bounds, and packs that are full."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.distillation.packing.bestfit import _choose, _pairs, best_fit
from tests.siglino_core.distillation.packing.measures import greedy
from tests.siglino_core.distillation.packing.sizes import NATIVE, SMALL, mixed, web


def packed(tokens: np.ndarray, capacity: int, max_images: int, look_ahead: int = 256) -> np.ndarray:
    """Tokens of each pack, after the bounds were checked."""
    order, starts = best_fit(tokens, capacity=capacity, max_images=max_images, look_ahead=look_ahead)
    assert np.array_equal(np.sort(order), np.arange(len(tokens)))
    sizes = np.diff(starts, append=len(order))
    assert (sizes > 0).all()
    assert sizes.max() <= max_images
    sums = np.add.reduceat(tokens[order], starts)
    assert sums.max() <= capacity
    return sums


@given(st.data(), st.integers(1, 300), st.integers(1, 20), st.sampled_from([8, 16, 64]))
def test_every_image_once_within_bounds(data: st.DataObject, capacity: int, max_images: int, look_ahead: int) -> None:
    tokens = data.draw(st.lists(st.integers(1, capacity), min_size=1, max_size=500))
    assert packed(np.array(tokens), capacity, max_images, look_ahead).sum() == sum(tokens)


@given(st.integers(0, 10**6), st.sampled_from([50, 4096, 32_767, 60_000, 100_000]), st.sampled_from([2, 8]))
def test_lanes_of_every_number_type(seed: int, capacity: int, max_images: int) -> None:
    tokens = np.random.default_rng(seed).integers(1, capacity + 1, 700)  # ten lanes of 64
    assert packed(tokens, capacity, max_images, look_ahead=8).sum() == tokens.sum()


def test_no_images() -> None:
    order, starts = best_fit(np.empty(0, np.int64), capacity=10, max_images=2)
    assert len(order) == len(starts) == 0


@pytest.mark.parametrize("images", [1, 7, 5000])
def test_equal_images(images: int) -> None:
    rest = [10 * (images % 16)] if images % 16 else []
    assert packed(np.full(images, 10), 4096, 16).tolist() == [160] * (images // 16) + rest
    assert len(packed(np.full(images, 2049), 4096, 16)) == images
    assert packed(np.full(images, 4096), 4096, 16).tolist() == [4096] * images


def test_pairs_beat_the_largest_that_fits() -> None:
    """After 60 there is room for 40: 39 fits best at first sight, 25 and 15 together fill it."""
    assert packed(np.array([60, 39, 25, 15, 60]), 100, 16).tolist() == [100, 99]


def test_no_image_pairs_with_itself_or_goes_where_it_does_not_fit() -> None:
    left = np.uint16(30_000)
    waiting = np.full((1, 8), 32_000, np.uint16)
    waiting[0, :2] = 15_000, 14_000
    gap, at = _pairs(left - waiting, waiting, 0, 1 << 15)
    assert (gap.tolist(), at.tolist()) == ([1000], [0])
    ordered = [14_000 * 8, 15_000 * 8 + 1, 32_000 * 8 + 2]  # tokens first, then which of 8
    assert _choose(ordered, 8, 30_000, 2) == 0  # 14 and 15, since 15 has no double
    assert _choose(ordered, 8, 30_000, 1) == 1  # one slot: the largest
    assert _choose(ordered, 8, 13_999, 2) == _choose(ordered, 8, 30_000, 0) == -1


def test_large_images_are_not_left_to_the_end() -> None:
    """One large and one small image fill a pack; a packer that prefers the small ones wastes half of the last packs."""
    tokens = np.random.default_rng(0).permutation(np.repeat([2300, 1796], 10_000))
    assert packed(tokens, 4096, 16).mean() > 0.999 * 4096


@pytest.mark.parametrize("name", ["native", "mixed", "small"])
def test_padding_of_web_images(name: str) -> None:
    mixture = mixed(40_000) if name == "mixed" else web(40_000, NATIVE if name == "native" else SMALL)
    tokens = 5 + mixture.patches(*mixture.draw(0, np.arange(len(mixture))))
    padding = 1 - packed(tokens, 4096, 32).mean() / 4096
    assert padding <= 0.005
    assert padding < greedy(tokens, capacity=4096, max_images=32) / 5
