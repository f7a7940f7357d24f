"""Patches of two views as one."""

import numpy as np
import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.segmentation.joined import Joined

MASK = np.zeros((2, 2), np.uint8)
A = np.array([[[3, 4], [0, 0]]], np.float16)
B = np.array([[[0, 0, 2], [1, 0, 0]]], np.float16)


def test_each_view_is_of_length_one_and_their_cosines_are_averaged() -> None:
    ((name, patches, mask),) = Joined([("s", A, MASK)], [("s", B, MASK)])
    half = 0.5**0.5
    expected = [[[0.6 * half, 0.8 * half, 0, 0, half], [0, 0, half, 0, 0]]]
    np.testing.assert_allclose(patches, expected, atol=1e-6)
    assert patches.dtype == np.float32
    assert (name, mask is MASK) == ("s", True)


def test_it_can_be_read_again_and_an_image_is_read_when_it_is_asked_for() -> None:
    joined = Joined([("s", A, MASK), ("t", A, MASK)], [("s", B, MASK), ("t", B, MASK)])
    assert [s.sample_id for s in joined] == [s.sample_id for s in joined] == ["s", "t"]
    assert next(iter(joined)).sample_id == "s"


def test_views_of_other_images_or_grids_are_refused() -> None:
    with pytest.raises(DataError, match=r"s \(1, 2\) and t \(1, 2\): two views of other patches"):
        list(Joined([("s", A, MASK)], [("t", B, MASK)]))
    with pytest.raises(DataError, match=r"s \(1, 2\) and s \(2, 1\)"):
        list(Joined([("s", A, MASK)], [("s", B.reshape(2, 1, 3), MASK)]))
    with pytest.raises(ValueError, match="shorter"):
        list(Joined([("s", A, MASK), ("t", A, MASK)], [("s", B, MASK)]))
