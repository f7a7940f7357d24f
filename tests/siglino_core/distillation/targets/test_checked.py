"""What a teacher says, checked: shapes, finite values and float16's range, each fault with teacher and image."""

from typing import Any

import pytest
import torch
from torch import Tensor

from siglino_core.distillation.targets.checked import checked_targets, to_half
from siglino_core.encoders.card import Card
from siglino_core.errors import DataError
from siglino_core.teachers.teacher import Targets

CARD = Card(name="told", dim=4, identity="0", registers=2)
SHAPES, IDS = [(1, 2), (2, 2), (1, 1)], ["first", "second", "third"]


class Told:
    """A teacher that says what it is given."""

    def __init__(self, said: Targets, card: Card = CARD) -> None:
        self.card, self._said = card, said
        self.seen = torch.empty(0)

    def __call__(self, patches_NV: Tensor, shapes: Any) -> Targets:
        self.seen = patches_NV
        return self._said


def said(**change: Tensor | None) -> Targets:
    return Targets(torch.ones(3, 4), torch.ones(7, 4), torch.ones(3, 2, 4))._replace(**change)


def asked(of: Told) -> Targets:
    return checked_targets(of, torch.full((7, 12), 255, dtype=torch.uint8), SHAPES, IDS)


def test_fp32_of_what_was_said_about_pixels_in_plus_minus_one() -> None:
    teacher = Told(said(summaries=torch.full((3, 4), 0.1).bfloat16()))
    found = asked(teacher)
    assert found.summaries.dtype == torch.float32
    assert torch.equal(found.summaries, torch.full((3, 4), 0.1).bfloat16().float())
    assert teacher.seen.eq(1).all()


def test_what_the_card_does_not_promise_is_left_out() -> None:
    card = Card(name="told", dim=4, identity="0", patches=False)
    found = asked(Told(said(), card))
    assert (found.patches, found.registers) == (None, None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"summaries": torch.ones(3, 5)}, r"told: summaries of shape \[3, 5\] where its card says \[3, 4\]"),
        ({"patches": torch.ones(6, 4)}, r"told: patches of shape \[6, 4\] where its card says \[7, 4\]"),
        ({"patches": None}, r"told: patches of shape None where"),
        ({"registers": None}, r"told: registers of shape None where its card says \[3, 2, 4\]"),
    ],
)
def test_another_shape(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        asked(Told(said(**change)))


@pytest.mark.parametrize(
    ("kind", "at", "says"),
    [
        ("summaries", (1, 3), "told: its summary for image second hold NaN"),
        ("patches", (2, 0), "told: its patches for image second hold NaN"),
        ("patches", (6, 0), "told: its patches for image third hold NaN"),
        ("registers", (0, 1, 2), "told: its registers for image first hold NaN"),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_what_is_not_finite(kind: str, at: tuple[int, ...], says: str, value: float) -> None:
    x = getattr(said(), kind).clone()
    x[at] = value
    with pytest.raises(DataError, match=says):
        asked(Told(said(**{kind: x})))


def test_half() -> None:
    x = torch.tensor([[1.0], [65504.0], [0.1]])
    assert torch.equal(to_half(CARD, "summary", x, IDS), x.half())
    x[2] = -7e4
    with pytest.raises(DataError, match=r"told: the registers of image third reaches 7e\+04, beyond float16's 65504"):
        to_half(CARD, "registers", x, IDS)
