"""What of a data set is left out, by a rule or because it cannot be used; and an image with what is left of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from siglino_core.config import Verify
from siglino_core.errors import DataError
from siglino_core.foreign import printable
from siglino_core.grounding.data.encoded import fault_of_image
from siglino_core.grounding.data.referring import LONGEST, SHOWN, Expression, Referring, fault_of
from siglino_core.grounding.vocabulary import canonical, encode

NO_WORDS, TOO_LONG, WRONG = "sentence_without_words", "sentence_too_long", "box_or_mask"
HALF = "sentence_with_half_a_character"
NOTHING = "image_without_expression"
UNREADABLE, NO_ID = "unreadable", "no_id"
Without = Mapping[str, AbstractSet[str]]
"""Ids of images that are left out, by the reason that is counted."""
NOBODY: Without = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that is not among the rows.

    Attributes:
        reason: one word, by which it is counted.
        times: how many they are.
        error: why it cannot be used, in a sentence; empty: it could be, but a rule leaves it out.
        whole: it is the image; else an expression of it, or an object.
    """

    image_id: str
    reason: str
    times: int = 1
    error: str = ""
    whole: bool = False


Item = Referring | LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is said of an image before it is read."""

    image_id: str
    width: int
    height: int
    split: str


def reason_without(image_id: str, without: Without) -> str:
    """Why an image is left out; empty: it is not."""
    return next((reason for reason, ids in without.items() if image_id in ids), "")


def filtered(items: Iterable[Item], without: Without) -> Iterator[Item]:
    """The same without some images, each of which is told of once."""
    for item in items:
        if not (reason := reason_without(item.image_id, without)):
            yield item
        elif isinstance(item, Referring) or item.whole:
            yield LeftOut(image_id=item.image_id, reason=reason, whole=True)


def tried(image_id: str, text: Any, make: Callable[[], Expression]) -> Expression | LeftOut:
    """The expression that ``make`` gives, or why it cannot be used."""
    try:
        return make()
    except DataError as e:
        return LeftOut(image_id=image_id, reason=_reason(text), error=f"image {printable(image_id, SHOWN)}: {e}")


def _reason(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        return NO_WORDS
    return TOO_LONG if len(text) > LONGEST else WRONG


def _unasked(text: str) -> tuple[str, str] | None:
    """Why the model cannot be asked for a text, in a word and in a sentence; None: it can."""
    try:
        text.encode()
        encode(text)
    except UnicodeEncodeError:
        return HALF, f"'{printable(text, SHOWN)}' holds half a character, which no file can hold: leave it out"
    except DataError as e:
        return TOO_LONG if canonical(text) else NO_WORDS, str(e)
    return None


def _unusable(one: Expression, frame: Frame) -> LeftOut | None:
    """What keeps an expression out of an image, if anything."""
    if says := fault_of(one, frame.width, frame.height):
        bad = WRONG, says
    elif (bad := _unasked(one.text)) is None:
        return None
    name = printable(frame.image_id, SHOWN)
    return LeftOut(image_id=frame.image_id, reason=bad[0], error=f"image {name}: {bad[1]}")


def assembled(frame: Frame, read: Callable[[], bytes], expressions: Iterable[Expression | LeftOut]) -> Iterator[Item]:
    """An image with those of its expressions that can be used, after all of it that is left out.

    All of the encoded image is decoded once; of one that cannot be used expressions are not looked at.

    Args:
        read: gives the encoded image; what it raises as DataError leaves the image out.
    """
    name = printable(frame.image_id, SHOWN)
    try:
        data = read()
        bad = fault_of_image(frame.image_id, data, frame.width, frame.height, Verify.DECODE)
    except DataError as e:
        data, bad = b"", (UNREADABLE, f"image {name}: {e}")
    if not frame.image_id:
        bad = NO_ID, "an image has no id: give it one"
    if bad is not None:
        yield LeftOut(image_id=frame.image_id, reason=bad[0], error=bad[1], whole=True)
        return
    good: list[Expression] = []
    fault = ""
    for one in expressions:
        item = (_unusable(one, frame) or one) if isinstance(one, Expression) else one
        if isinstance(item, Expression):
            good.append(item)
        else:
            fault = fault or item.error
            yield item
    if not good:
        yield LeftOut(image_id=frame.image_id, reason=NOTHING, error=fault, whole=True)
        return
    yield Referring(
        image_id=frame.image_id,
        data=data,
        width=frame.width,
        height=frame.height,
        split=frame.split,
        expressions=tuple(good),
    )


def require_usable(item: Item) -> Item:
    """The item; what cannot be used ends the reading, sentences without words apart.

    Raises:
        DataError: the item's own sentence.
    """
    if isinstance(item, LeftOut) and item.error and item.reason not in (NO_WORDS, NOTHING):
        raise DataError(item.error)
    return item
