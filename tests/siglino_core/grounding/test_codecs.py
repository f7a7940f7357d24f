"""Boxes through bins and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.grounding.codecs import (
    BINS,
    bins_of,
    coordinate_of,
    coordinate_place,
    size_of,
    size_place,
    to_boxes,
    to_centres,
)  # fmt: skip


@given(st.floats(0, 1))
def test_a_point_comes_back_within_half_a_bin(x: float) -> None:
    place = coordinate_place(torch.tensor([x], dtype=torch.float64))
    assert abs(float(coordinate_of(bins_of(place))) - x) <= 1 / 2048 + 1e-7


@given(st.floats(2**-10, 1))
def test_a_side_comes_back_within_a_third_of_a_percent(side: float) -> None:
    back = float(size_of(bins_of(size_place(torch.tensor([side], dtype=torch.float64)))))
    assert abs(back / side - 1) <= 0.00340


def test_sides_of_the_bins() -> None:
    assert size_of(torch.tensor([0, 512, 1023])).tolist() == pytest.approx([1 / 1024, 0.031356, 1], rel=1e-4)
    smaller, larger = size_place(torch.tensor([1e-9, 1.0]))
    assert bins_of(torch.stack([smaller, larger])).tolist() == [0, BINS - 1]


@given(
    st.integers(1, 999), st.integers(1, 777),
    st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 4), min_size=1, max_size=5),
)  # fmt: skip
def test_boxes_to_centres_and_back(width: int, height: int, corners: list[tuple[float, float, float, float]]) -> None:
    boxes = torch.tensor([[min(a, c) * width, min(b, d) * height, max(a, c) * width, max(b, d) * height]
                          for a, b, c, d in corners], dtype=torch.float64)  # fmt: skip
    torch.testing.assert_close(to_boxes(*to_centres(boxes, width, height), width, height), boxes, atol=1e-6, rtol=0)


def test_a_box_is_cut_at_the_edges() -> None:
    assert to_boxes(torch.tensor([[0.9, 0.5]]), torch.tensor([[0.4, 0.2]]), 100, 50).tolist() == [
        pytest.approx([70, 20, 100, 30])
    ]
