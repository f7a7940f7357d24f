"""Outlines: filled as COCO's tools fill them, and bounded."""

import numpy as np
import pytest
from faster_coco_eval.core import mask as tools
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.grounding.data import polygons
from siglino_core.grounding.data.polygons import filled

NUMBERS = st.floats(-6, 45, allow_nan=False).map(lambda v: round(v, 2))
OUTLINES = st.lists(
    st.lists(NUMBERS, min_size=6, max_size=20).map(lambda v: v[: len(v) // 2 * 2]), min_size=1, max_size=3
)


def theirs(outlines: list[list[float]], height: int, width: int) -> np.ndarray:
    return tools.decode(tools.merge(tools.frPyObjects(outlines, height, width))).astype(bool)


@settings(max_examples=300)
@given(OUTLINES, st.integers(23, 40), st.integers(23, 40))
def test_masks_are_those_of_the_coco_tools(outlines: list[list[float]], height: int, width: int) -> None:
    assert np.array_equal(filled(outlines, height, width), theirs(outlines, height, width))


def test_a_real_shape_in_a_large_image() -> None:
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    outline = (np.stack([320 + 250 * np.cos(angles), 240 + 190 * np.sin(3 * angles)], 1).round(2)).ravel().tolist()
    ours = filled([outline], 480, 640)
    assert np.array_equal(ours, theirs([outline], 480, 640))
    assert 10_000 < ours.sum() < 300_000


def test_a_square_is_itself() -> None:
    mask_HW = filled([[2, 1, 5, 1, 5, 4, 2, 4]], 6, 8)
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:5] = True
    assert np.array_equal(mask_HW, expected)
    assert not filled([], 6, 8).any()


@pytest.mark.parametrize(
    ("outline", "says"),
    [
        ([1, 2, 3, 4], "4 numbers"),
        ([1, 2, 3, 4, 5, 6, 7], "7 numbers"),
        ([1, 2, 3, 4, 5, float("nan")], "not finite"),
        ([1, 2, 3, 4, 5, float("inf")], "not finite"),
        ([1, 2, 3, 4, 5, "6"], "no number"),
        ([1, 2, 3, 4, 5, None], "no number"),
        ([1, 2, 3, 4, 5, 1e12], "not finite"),
        ([1, 2, 3, 4, 5, 20_000], "far outside its 8 x 6"),
        ([1, 2, 3, 4, -9, 5], "far outside"),
    ],
)
def test_what_is_no_outline_is_refused(outline: list, says: str) -> None:
    with pytest.raises(DataError, match=says):
        filled([outline], 6, 8)


def test_endless_outlines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polygons, "MOST_STEPS", 100)
    with pytest.raises(DataError, match="more than 100 steps"):
        filled([[0, 0, 8, 0, 8, 6]] * 2, 6, 8)
    filled([[0, 0, 3, 0, 3, 3]], 6, 8)
    with pytest.raises(DataError, match="it needs 1 to"):
        filled([], 1 << 20, 1 << 20)
