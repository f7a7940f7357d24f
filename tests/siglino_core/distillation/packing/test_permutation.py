"""The keyed permutation: every image once, whatever is asked for first, and no pattern left."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.distillation.packing.permutation import permute


@given(st.integers(0, 2**63), st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_every_image_once(key: int, size: int, tweak: int) -> None:
    assert np.array_equal(np.sort(permute(key, size, np.arange(size), tweak)), np.arange(size))


def test_part_of_the_positions_and_tweaks_of_their_own() -> None:
    whole = permute(7, 1000, np.arange(1000))
    at = np.array([999, 3, 3, 500])
    assert np.array_equal(permute(7, 1000, at), whole[at])
    several = permute(7, 1000, np.tile(np.arange(1000), 2), np.repeat([0, 9], 1000))
    assert np.array_equal(several[:1000], whole)
    assert np.array_equal(several[1000:], permute(7, 1000, np.arange(1000), 9))


def test_keys_and_tweaks_give_other_orders() -> None:
    whole = permute(7, 10_000, np.arange(10_000))
    for other in (permute(8, 10_000, np.arange(10_000)), permute(7, 10_000, np.arange(10_000), 1), np.arange(10_000)):
        assert (whole == other).sum() < 10  # a random order leaves about one in place


def test_no_pattern_is_left() -> None:
    size = 5000
    order = permute(3, size, np.arange(size)).astype(float)
    for lag in (1, 2, 70, 71, 72):  # the network's sides are 71 and 71
        assert abs(np.corrcoef(order[:-lag], order[lag:])[0, 1]) < 4 / np.sqrt(size)
    first = np.array([permute(key, 7, np.array([0]))[0] for key in range(700)])
    counts = np.bincount(first, minlength=7)
    assert ((counts - 100) ** 2 / 100).sum() < 22.5  # chi-squared of 6 degrees: 1 in 1000


def test_hundreds_of_millions() -> None:
    size = 200_000_001
    found = permute(1, size, np.arange(size - 100_000, size))
    assert found.min() >= 0
    assert found.max() < size
    assert len(np.unique(found)) == 100_000
    assert abs(found.mean() / size - 0.5) < 0.01
