"""Expressions and images: what they refuse, and in which order instances stand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.grounding.data.referring import LONGEST, Expression, Referring, raster_order

BOX = [[1, 2, 5, 6]]


def row(*boxes: list[float], masks: tuple[np.ndarray, ...] | None = None) -> Referring:
    one = Expression(text="the cat", boxes_K4=np.array(boxes, np.float32), masks=masks)
    return Referring(image_id="a/1", data=b"", width=10, height=8, split="a/val", expressions=(one,))


def test_a_box_may_fill_the_image_and_absent_has_none() -> None:
    whole = row([0, 0, 10, 8]).expressions[0]
    assert (whole.absent, whole.boxes_K4.dtype) == (False, np.float32)
    none = row().expressions[0]
    assert (none.absent, none.boxes_K4.shape) == (True, (0, 4))


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([0, 0, 10.01, 8], "outside its 10 x 8 pixels"),
        ([0, 0, 10, 8.01], "outside"),
        ([-0.01, 0, 10, 8], "outside"),
        ([0, -1, 10, 8], "outside"),
        ([3, 0, 3, 8], "empty or inverted"),
        ([0, 5, 10, 4], "empty or inverted"),
        ([0, 0, float("nan"), 8], "not finite"),
        ([0, 0, float("inf"), 8], "not finite"),
    ],
)
def test_a_box_that_cannot_be_is_named(box: list[float], says: str) -> None:
    with pytest.raises(DataError, match=f"image a/1: the expression 'the cat' has a box .*{says}.* number 1"):
        row([0, 0, 1, 1], box)


@pytest.mark.parametrize("text", ["", " \n\t", "\u3000"])
def test_an_expression_has_words(text: str) -> None:
    with pytest.raises(DataError, match="no words"):
        Expression(text=text, boxes_K4=np.array(BOX))


def test_an_expression_is_not_endless_and_its_text_stays_text() -> None:
    assert Expression(text="x" * LONGEST, boxes_K4=np.array(BOX)).text == "x" * LONGEST
    with pytest.raises(DataError, match="1001 characters") as told:
        Expression(text="\x1b[31m" + "x" * (LONGEST - 4), boxes_K4=np.array(BOX))
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 200


@pytest.mark.parametrize("boxes", [[1, 2, 3, 4], [[1, 2, 3]], [["a", "b", "c", "d"]], [[True] * 4], [[[1, 2, 3, 4]]]])
def test_boxes_are_rows_of_four_numbers(boxes: list) -> None:
    with pytest.raises(DataError, match="it needs numbers"):
        Expression(text="x", boxes_K4=np.array(boxes))


def test_masks_are_one_a_box_of_the_image_and_not_empty() -> None:
    good = np.ones((8, 10), bool)
    assert row([0, 0, 10, 8], masks=(good,)).expressions[0].masks is not None
    with pytest.raises(DataError, match="1 boxes and 2 masks"):
        row([0, 0, 10, 8], masks=(good, good))
    for bad in (good.T, good.astype(np.uint8)):
        with pytest.raises(DataError, match=r"number 0\): it needs bool \(8, 10\)"):
            row([0, 0, 10, 8], masks=(bad,))
    with pytest.raises(DataError, match="an empty mask"):
        row([0, 0, 10, 8], masks=(~good,))
    corner = np.zeros((8, 10), bool)
    corner[7, 9] = True
    assert row([8.5, 6.5, 9.5, 7.5], masks=(corner,)).expressions[0].masks is not None  # a part of a pixel is enough
    with pytest.raises(DataError, match=r"a mask that is nowhere in its box \(number 0\)"):
        row([0, 0, 9, 7], masks=(corner,))


def test_an_image_has_a_size_and_a_name() -> None:
    with pytest.raises(DataError, match="0 x 5"):
        Referring(image_id="a", data=b"", width=0, height=5, split="", expressions=())
    with pytest.raises(DataError, match="no id"):
        Referring(image_id="", data=b"", width=1, height=5, split="", expressions=())


def test_raster_order_is_by_the_centres_y_and_then_x() -> None:
    boxes = np.array([[5, 0, 6, 10], [0, 4, 2, 6], [8, 0, 9, 2], [0, 4, 2, 6]], np.float32)
    assert raster_order(boxes).tolist() == [2, 1, 3, 0]


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 4), max_size=6))
def test_raster_order_sorts(boxes: list[tuple[int, ...]]) -> None:
    boxes_K4 = np.array(boxes, np.float32).reshape(-1, 4)
    order = raster_order(boxes_K4)
    keys = [(b[1] + b[3], b[0] + b[2]) for b in boxes_K4[order].tolist()]
    assert keys == sorted(keys)
    assert sorted(order.tolist()) == list(range(len(boxes)))
