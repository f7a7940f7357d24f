"""A patch's classes, counted by hand and by area."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.evaluation.segmentation.patch_labels import patch_classes


def test_pixels_are_counted_patch_by_patch() -> None:
    mask = np.array([[0, 0, 1, 1], [0, 1, 1, 1], [2, 255, 255, 255], [255, 2, 255, 255]], np.uint8)
    shares = patch_classes(mask, (2, 2), 3)
    assert shares.tolist() == [[[3 / 4, 1 / 4, 0], [0, 1, 0]], [[0, 0, 1], [0, 0, 0]]]


def test_a_pixel_between_two_patches_counts_by_its_area() -> None:
    shares = patch_classes(np.array([[0, 1, 2]], np.uint8), (1, 2), 3)
    assert np.allclose(shares, [[[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]])


def test_a_label_smaller_than_the_grid_covers_it() -> None:
    shares = patch_classes(np.array([[0, 1]], np.uint8), (2, 4), 2)
    assert shares.argmax(2).tolist() == [[0, 0, 1, 1]] * 2
    assert (shares.max(2) == 1).all()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_shares_sum_to_one_and_areas_to_the_label(height: int, width: int, h: int, w: int, seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 3, (height, width)).astype(np.uint8)
    shares = patch_classes(mask, (h, w), 3)
    assert np.allclose(shares.sum(2), 1)
    # without 255 all patches have the same area
    assert np.allclose(shares.mean((0, 1)), np.bincount(mask.ravel(), minlength=3) / mask.size)


def test_a_class_that_there_is_not_is_refused() -> None:
    with pytest.raises(DataError, match="class 3"):
        patch_classes(np.array([[3]], np.uint8), (1, 1), 3)
