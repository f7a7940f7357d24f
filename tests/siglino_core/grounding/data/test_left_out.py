"""What is left out of an image, why, and what stays."""

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

from siglino_core.errors import DataError
from siglino_core.grounding.data.left_out import (
    Frame,
    LeftOut,
    assembled,
    filtered,
    reason_without,
    require_usable,
    tried,
)
from siglino_core.grounding.data.referring import Expression, Referring
from tests.pictures import broken, picture

FRAME = Frame(image_id="coco/1", width=48, height=32, split="coco")
BOX = np.array([[0, 0, 9, 9]], np.float32)


def expression(text: str = "a cat", box_K4: np.ndarray = BOX, **change: Any) -> Expression:
    return Expression(text=text, boxes_K4=box_K4, **change)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "sentence_without_words"), (" \n", "sentence_without_words"), ("x" * 1001, "sentence_too_long")],
)
def test_texts_that_cannot_be_asked(text: str, reason: str) -> None:
    found = tried("coco/1", text, partial(expression, text))
    assert isinstance(found, LeftOut)
    assert (found.reason, found.whole, found.times) == (reason, False, 1)
    assert found.error.startswith("image coco/1: ")
    assert isinstance(tried("coco/1", "a", partial(expression, "a")), Expression)


def test_an_image_keeps_the_expressions_that_can_be_used() -> None:
    outside, inverted = np.array([[0, 0, 49, 9]]), np.array([[9, 0, 0, 9]])
    mask = np.zeros((32, 48), bool)
    asked = [
        expression("first"),
        expression("outside", outside),
        expression("inverted", inverted),
        expression("empty mask", masks=(mask,)),
        LeftOut(image_id="coco/1", reason="crowd_region", times=2),
        expression("last"),
    ]
    *left_out, found = assembled(FRAME, lambda: picture(0), asked)
    assert isinstance(found, Referring)
    assert [e.text for e in found.expressions] == ["first", "last"]
    assert [item.reason for item in left_out if isinstance(item, LeftOut)] == [*["box_or_mask"] * 3, "crowd_region"]
    assert "image coco/1: the expression 'outside' has a box outside its 48 x 32 pixels" in str(left_out[0])


@pytest.mark.parametrize(
    ("text", "reason", "says"),
    [
        ("red " * 65, "sentence_too_long", "an expression of 65 tokens, .*at most 64"),
        ("\u200b\x07", "sentence_without_words", "an expression without text"),
        ("half \ud83d", "sentence_with_half_a_character", "which no file can hold"),
    ],
)
def test_what_no_tokenizer_takes_is_left_out_too(text: str, reason: str, says: str) -> None:
    asked = [expression(text), expression("red " * 64), expression("<|endoftext|> <seg>")]
    left_out, found = assembled(FRAME, lambda: picture(0), asked)
    assert isinstance(left_out, LeftOut)
    assert (left_out.reason, left_out.whole) == (reason, False)
    assert re.search(f"^image coco/1: .*{says}", left_out.error)
    left_out.error.encode()
    assert isinstance(found, Referring)
    assert [e.text for e in found.expressions] == [e.text for e in asked[1:]]


@pytest.mark.parametrize(
    ("asked", "error"), [([], ""), ([expression("out", np.array([[0, 0, 49, 9]]))], "'out' has a box outside")]
)
def test_an_image_without_expressions_is_none_and_a_fault_if_one_could_not_be_used(asked: Any, error: str) -> None:
    *_, last = assembled(FRAME, lambda: picture(0), asked)
    assert isinstance(last, LeftOut)
    assert (last.reason, last.whole) == ("image_without_expression", True)
    assert error in last.error
    assert bool(error) == bool(last.error)


@pytest.mark.parametrize("name", broken())
def test_of_a_broken_image_one_reason_is_told(name: str) -> None:
    data, reason = broken()[name]
    (found,) = assembled(FRAME, lambda: data, [expression("outside", np.array([[0, 0, 99, 9]]))])
    assert isinstance(found, LeftOut)
    assert (found.reason, found.whole) == (reason, True)
    assert found.error.startswith("image coco/1 cannot be used: ")


def test_an_image_of_another_size_or_that_cannot_be_read() -> None:
    (found,) = assembled(FRAME, lambda: picture(0, size=(32, 48)), [expression()])
    assert isinstance(found, LeftOut)
    assert found.reason == "another_size"

    def closed() -> bytes:
        raise DataError("a.jpg cannot be opened")

    (found,) = assembled(FRAME, closed, [expression()])
    assert isinstance(found, LeftOut)
    assert (found.reason, found.error) == ("unreadable", "image coco/1: a.jpg cannot be opened")


def test_images_are_left_out_by_the_first_reason() -> None:
    without = {"tested": {"coco/1"}, "held out": {"coco/1", "coco/2"}}
    assert [reason_without(f"coco/{n}", without) for n in (1, 2, 3)] == ["tested", "held out", ""]
    good = list(assembled(FRAME, lambda: picture(0), [expression()]))
    fault = LeftOut(image_id="coco/1", reason="box_or_mask", error="e")
    (found,) = filtered([fault, *good], without)
    assert isinstance(found, LeftOut)
    assert (found.reason, found.error, found.whole) == ("tested", "", True)
    assert list(filtered(good, {})) == good


def test_what_cannot_be_used_may_end_the_reading() -> None:
    with pytest.raises(DataError, match="the box is odd"):
        require_usable(LeftOut(image_id="a", reason="box_or_mask", error="the box is odd"))
    for reason, error in (("crowd_region", ""), ("sentence_without_words", "no words")):
        require_usable(LeftOut(image_id="a", reason=reason, error=error))
