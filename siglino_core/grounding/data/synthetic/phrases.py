"""Expressions over a scene's objects: their words, and what they refer to by their own rule, where that is sure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from siglino_core.grounding.data.synthetic.composite import Placed
from siglino_core.grounding.data.synthetic.things import PLURALS, SHAPE, SHAPES, Thing

Found = tuple[int, ...] | None
"""Places of the referents in the scene's objects; none: absent; None: the words fit several readings."""
NUMBERS = {2: "two", 3: "three", 4: "four"}


class Query(Protocol):
    """An expression."""

    @property
    def text(self) -> str:
        """Its words."""
        ...

    @property
    def nouns(self) -> tuple[str, ...]:
        """The nouns in it."""
        ...

    def referents(self, objects: Sequence[Placed], margin: float) -> Found:
        """What it refers to; ``margin``: pixels by which positions must differ for one to be sure."""
        ...


@dataclass(frozen=True)
class Phrase:
    """A noun with what narrows it: small red circle. ``shape`` stands for all that is drawn."""

    noun: str
    colour: str | None = None
    size: str | None = None

    @property
    def words(self) -> str:
        return " ".join(filter(None, (self.size, self.colour, self.noun)))

    @property
    def plural(self) -> str:
        """The same of several; shapes alone have one."""
        several = SHAPES if self.noun == SHAPE else PLURALS[self.noun]
        return " ".join(filter(None, (self.size, self.colour, several)))

    def fits(self, thing: Thing) -> bool:
        noun = thing.drawn if self.noun == SHAPE else thing.noun == self.noun
        return noun and self.colour in (None, thing.colour) and self.size in (None, thing.size)

    def among(self, objects: Sequence[Placed]) -> list[int]:
        return [i for i, placed in enumerate(objects) if self.fits(placed.thing)]


def _one(found: list[int]) -> Found:
    return tuple(found) if len(found) < 2 else None


def _several(found: list[int]) -> Found:
    return tuple(found) if len(found) != 1 else None


@dataclass(frozen=True)
class The:
    """The small red circle: there is one, or none."""

    phrase: Phrase

    @property
    def text(self) -> str:
        return f"the {self.phrase.words}"

    @property
    def nouns(self) -> tuple[str, ...]:
        return (self.phrase.noun,)

    def referents(self, objects: Sequence[Placed], margin: float) -> Found:
        return _one(self.phrase.among(objects))


@dataclass(frozen=True)
class All:
    """All red circles, every dog: there are several, or none."""

    phrase: Phrase

    @property
    def text(self) -> str:
        has_plural = self.phrase.noun == SHAPE or self.phrase.noun in PLURALS
        return f"all {self.phrase.plural}" if has_plural else f"every {self.phrase.words}"

    @property
    def nouns(self) -> tuple[str, ...]:
        return (self.phrase.noun,)

    def referents(self, objects: Sequence[Placed], margin: float) -> Found:
        return _several(self.phrase.among(objects))


@dataclass(frozen=True)
class Number:
    """The two red circles: there are just so many, or none at all."""

    phrase: Phrase
    count: int

    @property
    def text(self) -> str:
        return f"the {NUMBERS[self.count]} {self.phrase.plural}"

    @property
    def nouns(self) -> tuple[str, ...]:
        return (self.phrase.noun,)

    def referents(self, objects: Sequence[Placed], margin: float) -> Found:
        found = self.phrase.among(objects)
        return tuple(found) if len(found) in (0, self.count) else None


class Side(Enum):
    """Directions in the image: the word of the extreme, that of the relation, axis (0 = x) and sign."""

    LEFT = ("leftmost", "left of", 0, -1)
    RIGHT = ("rightmost", "right of", 0, 1)
    TOP = ("top", "above", 1, -1)
    BOTTOM = ("bottom", "below", 1, 1)

    def along(self, placed: Placed) -> float:
        """How far on this side it lies, pixels."""
        return self.value[3] * placed.centre[self.value[2]]


@dataclass(frozen=True)
class Extreme:
    """The leftmost red circle: by the centres of what is visible of those that fit, of which there are several."""

    phrase: Phrase
    side: Side

    @property
    def text(self) -> str:
        return f"the {self.side.value[0]} {self.phrase.words}"

    @property
    def nouns(self) -> tuple[str, ...]:
        return (self.phrase.noun,)

    def referents(self, objects: Sequence[Placed], margin: float) -> Found:
        found = sorted(self.phrase.among(objects), key=lambda i: -self.side.along(objects[i]))
        if not found:
            return ()
        if len(found) < 2 or self.side.along(objects[found[0]]) - self.side.along(objects[found[1]]) < margin:
            return None
        return (found[0],)


@dataclass(frozen=True)
class Beside:
    """The circle left of the blue star, all circles above the ring: by the centres of what is visible.

    There must be one object that is the other's, or none. The object itself is never on its own side.
    """

    phrase: Phrase
    side: Side
    other: Phrase
    several: bool = False

    @property
    def text(self) -> str:
        whose = (All if self.several else The)(self.phrase).text
        return f"{whose} {self.side.value[1]} the {self.other.words}"

    @property
    def nouns(self) -> tuple[str, ...]:
        return self.phrase.noun, self.other.noun

    def referents(self, objects: Sequence[Placed], margin: float) -> Found:
        anchors = self.other.among(objects)
        if self.phrase == self.other or len(anchors) > 1:
            return None
        if not anchors:
            return ()
        ahead = {
            i: self.side.along(objects[i]) - self.side.along(objects[anchors[0]])
            for i in self.phrase.among(objects)
            if i != anchors[0]
        }
        if any(abs(by) < margin for by in ahead.values()):
            return None
        found = [i for i, by in ahead.items() if by > 0]
        return _several(found) if self.several else _one(found)
