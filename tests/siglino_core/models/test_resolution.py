"""The rule of sizes, for many images at once: as reckoned one by one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.models.resolution import Resolution

SIDE = st.integers(16, 5000)


def one_by_one(rule: Resolution, height: int, width: int) -> list[int]:
    p = rule.patch_size
    h, w = round(height / p) * p, round(width / p) * p
    if h * w > rule.max_pixels:
        shrink = math.sqrt(height * width / rule.max_pixels)
        return [max(p, math.floor(side / shrink / p) * p) for side in (height, width)]
    if h * w < rule.min_pixels:
        grow = math.sqrt(rule.min_pixels / (height * width))
        return [math.ceil(side * grow / p) * p for side in (height, width)]
    return [h, w]


@given(st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=20), st.integers(1, 10**6), st.integers(0, 10**6))
def test_many_images_as_one_by_one(sides: list[tuple[int, int]], low: int, more: int) -> None:
    for patch in (14, 16):
        rule = Resolution(patch_size=patch, min_pixels=low, max_pixels=low + more)
        fit = [(h, w) for h, w in sides if max(h, w) <= 200 * min(h, w)]
        got = rule.sizes(*(np.array(fit, np.int32).reshape(-1, 2).T))
        assert got.tolist() == [one_by_one(rule, h, w) for h, w in fit]


def test_a_side_under_one_patch_is_brought_up_to_one() -> None:
    heights_N, widths_N = Resolution().enlarged(np.array([15, 1, 16, 400]), np.array([60, 1, 20, 300], np.int32))
    assert (heights_N.tolist(), widths_N.tolist()) == ([16, 16, 16, 400], [64, 16, 20, 300])


def test_equal_bounds_scale_to_about_that_area() -> None:
    rule = Resolution(min_pixels=512**2, max_pixels=512**2)
    sizes = rule.sizes(np.array([100, 512, 3000]), np.array([150, 512, 2000]))
    assert np.abs(sizes.prod(axis=1) / 512**2 - 1).max() < 0.08


@pytest.mark.parametrize(
    ("height", "width", "message"),
    [
        (15, 20, "an image of 20 x 15 pixels: each side at least 16"),
        (16, 3201, "3201 x 16 pixels: an aspect of at most"),
    ],
)
def test_images_that_cannot_be_scaled(height: int, width: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resolution().sizes(np.array([100, height]), np.array([100, width]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patch_size": 0}, "patch_size=0: at least 1"),
        ({"min_pixels": 0}, "min_pixels=0: above 0"),
        ({"min_pixels": 10, "max_pixels": 9}, "min_pixels=10: above 0, at most max_pixels=9"),
    ],
)
def test_values_out_of_range(values: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Resolution(**values)
