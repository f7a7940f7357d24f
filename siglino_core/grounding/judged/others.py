"""Another model's answers from a file of JSON lines: where each lies, and what it says in our form.

Of the file memory holds where its lines begin: a line is read again when its expression's turn comes.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from siglino_core.config import AnswerFormat
from siglino_core.errors import DataError
from siglino_core.foreign import printable
from siglino_core.grounding.formats import from_falcon, from_florence
from siglino_core.grounding.judged.answer import Saying
from siglino_core.grounding.vocabulary import canonical

MOST_LINE = 1 << 24  # bytes of a line
MOST_BOXES = 10_000  # of an output
NO_BOXES = np.empty((0, 4))
NEEDED = ("image_id", "expression", "output")


class Others:
    """Answers by image and expression.

    Args:
        file: binary, and it can be sought in; it must stay open.
        what: its name, for messages.
        form: of an output.

    Raises:
        DataError: a line is none, lacks a key, or answers what another line answers; it is named by its number.
    """

    def __init__(self, file: BinaryIO, what: str, form: AnswerFormat) -> None:
        self._file, self._what, self._form = file, what, form
        self._places: dict[tuple[str, str], tuple[int, int]] = {}  # number of the line, and where it begins
        for number, at, line in _lines(file, what):
            stored = self._parsed(line, number)
            key = stored["image_id"], canonical(stored["expression"])
            if key in self._places:
                if self._again(self._places[key])["output"] == stored["output"]:
                    continue  # two people said the same of an object, and it was asked twice
                raise DataError(
                    f"{what}, line {number}: image {printable(key[0], 60)} and '{printable(key[1], 60)}' were answered "
                    f"otherwise in line {self._places[key][0]}; leave one of both out"
                )
            self._places[key] = number, at
        if not self._places:
            raise DataError(f"{what} has no answers: it needs a line of JSON each, with {', '.join(NEEDED)}")

    def __len__(self) -> int:
        return len(self._places)

    def images(self) -> set[str]:
        """The ids of all images that something is said of."""
        return {image for image, _ in self._places}

    def answer(self, image_id: str, text: str, width: int, height: int) -> Saying | None:
        """What is said of an expression; None: nothing. Letters' case and blanks of the expression don't matter.

        Raises:
            DataError: the output is none of the format; the line is named.
        """
        place = self._places.get((image_id, canonical(text)))
        if place is None:
            return None
        output = self._again(place)["output"]
        try:
            return READERS[self._form](output, text, width, height)
        except DataError as e:
            raise DataError(f"{self._what}, line {place[0]}: {e}") from e

    def _again(self, place: tuple[int, int]) -> dict[str, Any]:
        """A line that was read before; the file goes on from where it was."""
        now = self._file.tell()
        self._file.seek(place[1])
        line = self._file.readline(MOST_LINE + 1)
        self._file.seek(now)
        return self._parsed(line, place[0])

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        where = f"{self._what}, line {number}"
        try:
            stored = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise DataError(f"{where} is no JSON ({e}): each line is an object with {', '.join(NEEDED)}") from e
        lacks = [name for name in NEEDED if not isinstance(stored, dict) or name not in stored]
        if lacks:
            raise DataError(f"{where} lacks {', '.join(lacks)}: each line is an object with {', '.join(NEEDED)}")
        for name in NEEDED[:2]:
            if not isinstance(stored[name], str) or not stored[name].strip():
                raise DataError(f"{where}: {name} is {printable(repr(stored[name]), 60)}, and has to be a text")
        return stored


def _lines(file: BinaryIO, what: str) -> Iterator[tuple[int, int, bytes]]:
    """The lines that are not blank: their number from 1, where they begin, and what they hold."""
    number = at = 0
    while line := file.readline(MOST_LINE + 1):
        number += 1
        if len(line) > MOST_LINE:
            raise DataError(f"{what}, line {number} has more than {MOST_LINE} bytes: is it JSON lines?")
        if line.strip():
            yield number, at, line
        at += len(line)


def of_boxes(output: Any, text: str, width: int, height: int) -> Saying:
    """A list of [left, top, right, bottom] in pixels, the surest first; a box that is no four numbers is malformed.

    Raises:
        DataError: it is no list, or too long a one.
    """
    if output is None:
        output = []
    if not isinstance(output, list) or len(output) > MOST_BOXES:
        raise DataError(
            f"its output is {printable(repr(output), 60)}: it has to be a list of at most {MOST_BOXES} boxes, "
            "[left, top, right, bottom] each"
        )
    good = [box for box in output if _is_box(box)]
    return Saying(boxes_P4=np.array(good, np.float64).reshape(-1, 4), malformed=len(output) - len(good))


def _is_box(box: Any) -> bool:
    """Four numbers that fit fp64; NaN and infinity are numbers here, and count as wrong."""
    return isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 1e300)


def of_florence(output: Any, text: str, width: int, height: int) -> Saying:
    """Florence-2's text: the boxes of the phrase that is the expression; without such a one, of the first phrase.

    Grounding a sentence, it names all its things, and the first is what the sentence is about.
    """
    found = from_florence("" if output is None else output, width, height)
    if not found:
        return Saying(boxes_P4=NO_BOXES)
    wanted = canonical(text)
    one = next((answer for answer in found if canonical(answer.query) == wanted), found[0])
    return Saying(boxes_P4=one.boxes_K4, malformed=one.malformed)


def of_falcon(output: Any, text: str, width: int, height: int) -> Saying:
    """Falcon-Perception's list, with masks if all its boxes have one; else its mask is empty."""
    one = from_falcon([] if output is None else output, text, width, height)
    return Saying(boxes_P4=one.boxes_K4, masks=one.masks or (), malformed=one.malformed)


READERS = {AnswerFormat.BOXES: of_boxes, AnswerFormat.FLORENCE: of_florence, AnswerFormat.FALCON: of_falcon}
