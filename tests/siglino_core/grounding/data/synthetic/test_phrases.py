"""What expressions refer to: by hand, on one scene, and never anything when it is in doubt."""

import numpy as np
import pytest

from siglino_core.grounding.data.synthetic.composite import Placed
from siglino_core.grounding.data.synthetic.phrases import (
    All,
    Beside,
    Extreme,
    Number,
    Phrase,
    Query,
    Side,
    The,
)
from siglino_core.grounding.data.synthetic.things import Thing

NONE = np.zeros((1, 1), bool)


def placed(noun: str, colour: str | None, size: str, x: int, y: int) -> Placed:
    box = (x - 2, y - 2, x + 2, y + 2)
    return Placed(thing=Thing(noun=noun, colour=colour, size=size), box=box, visible_HW=NONE, whole_HW=NONE)


SCENE = [
    placed("circle", "red", "small", 10, 50),  # 0
    placed("circle", "red", "large", 30, 20),  # 1
    placed("circle", "blue", "small", 32, 80),  # 2
    placed("star", "blue", "medium", 60, 40),  # 3
    placed("dog", None, "large", 80, 60),  # 4
]
CIRCLE, STAR, DOG, SHAPE = Phrase("circle"), Phrase("star"), Phrase("dog"), Phrase("shape")
RED, BLUE, LARGE = Phrase("circle", "red"), Phrase("circle", "blue"), Phrase("circle", None, "large")


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        (The(STAR), "the star", (3,)),
        (The(CIRCLE), "the circle", None),
        (The(Phrase("circle", "red", "small")), "the small red circle", (0,)),
        (The(Phrase("circle", None, "large")), "the large circle", (1,)),
        (The(Phrase("star", "red")), "the red star", ()),
        (The(Phrase("star", None, "small")), "the small star", ()),
        (The(DOG), "the dog", (4,)),
        (The(Phrase("dog", None, "large")), "the large dog", (4,)),
        (The(Phrase("shape", None, "large")), "the large shape", (1,)),
        (All(CIRCLE), "all circles", (0, 1, 2)),
        (All(RED), "all red circles", (0, 1)),
        (All(SHAPE), "all shapes", (0, 1, 2, 3)),
        (All(STAR), "all stars", None),
        (All(Phrase("star", "red")), "all red stars", ()),
        (All(DOG), "every dog", None),
        (Number(RED, 2), "the two red circles", (0, 1)),
        (Number(CIRCLE, 2), "the two circles", None),
        (Number(CIRCLE, 3), "the three circles", (0, 1, 2)),
        (Number(Phrase("cross"), 2), "the two crosses", ()),
        (Extreme(CIRCLE, Side.LEFT), "the leftmost circle", (0,)),
        (Extreme(CIRCLE, Side.RIGHT), "the rightmost circle", None),  # 30 and 32: in doubt
        (Extreme(RED, Side.RIGHT), "the rightmost red circle", (1,)),
        (Extreme(CIRCLE, Side.TOP), "the top circle", (1,)),
        (Extreme(CIRCLE, Side.BOTTOM), "the bottom circle", (2,)),
        (Extreme(STAR, Side.LEFT), "the leftmost star", None),
        (Extreme(Phrase("ring"), Side.LEFT), "the leftmost ring", ()),
        (Beside(STAR, Side.LEFT, DOG), "the star left of the dog", (3,)),
        (Beside(STAR, Side.RIGHT, DOG), "the star right of the dog", ()),
        (Beside(CIRCLE, Side.LEFT, STAR), "the circle left of the star", None),
        (Beside(CIRCLE, Side.LEFT, STAR, True), "all circles left of the star", (0, 1, 2)),
        (Beside(CIRCLE, Side.TOP, STAR), "the circle above the star", (1,)),
        (Beside(CIRCLE, Side.TOP, STAR, True), "all circles above the star", None),
        (Beside(CIRCLE, Side.BOTTOM, STAR, True), "all circles below the star", (0, 2)),
        (Beside(DOG, Side.RIGHT, CIRCLE), "the dog right of the circle", None),  # which circle?
        (Beside(DOG, Side.RIGHT, Phrase("ring")), "the dog right of the ring", ()),
        (Beside(Phrase("ring"), Side.RIGHT, DOG), "the ring right of the dog", ()),
        (Beside(STAR, Side.LEFT, STAR), "the star left of the star", None),
        (Beside(BLUE, Side.RIGHT, LARGE), "the blue circle right of the large circle", None),
        (Beside(CIRCLE, Side.LEFT, Phrase("circle", "blue")), "the circle left of the blue circle", None),
        (Beside(SHAPE, Side.BOTTOM, LARGE, True), "all shapes below the large circle", (0, 2, 3)),
    ],
)  # fmt: skip
def test_by_hand(query: Query, text: str, expected: tuple[int, ...] | None) -> None:
    assert query.text == text
    assert query.referents(SCENE, margin=5) == expected


def test_the_margin_decides_what_is_in_doubt() -> None:
    assert Extreme(CIRCLE, Side.RIGHT).referents(SCENE, margin=2) == (2,)
    assert Extreme(CIRCLE, Side.RIGHT).referents(SCENE, margin=2.1) is None
    assert Beside(BLUE, Side.RIGHT, LARGE).referents(SCENE, margin=2) == (2,)


def test_the_nouns_that_are_in_it() -> None:
    assert Beside(CIRCLE, Side.LEFT, DOG).nouns == ("circle", "dog")
    assert {q.nouns for q in (The(DOG), All(DOG), Number(DOG, 2), Extreme(DOG, Side.TOP))} == {("dog",)}
