"""From class names to class numbers, and what to say where they do not match.

Legend: N samples.
"""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from siglino_core.errors import DataError

SHOWN = 5  # names in a message
_DIGITS = re.compile(r"(\d+)")


def natural(name: str) -> list[tuple[int, int, str]]:  # no int(): Python refuses to make one of 4,301 digits
    """A key by which names sort as people count: 2 before 10, and class_9 before class_10."""
    parts = _DIGITS.split(name)
    return [(0, len(p.lstrip("0")), p.lstrip("0")) if i % 2 else (1, 0, p) for i, p in enumerate(parts) if p]


def class_order(labels: Iterable[str | None]) -> tuple[str, ...]:
    """The classes of a data set that tells no order: its labels, sorted by :func:`natural`."""
    return tuple(sorted({label for label in labels if label is not None}, key=natural))


def label_ids(labels: Sequence[str | None], classes: Sequence[str]) -> np.ndarray:
    """The number of each label's class: int64 [N].

    Labels that are all numbers, where no class is named by a number, are taken for the classes' numbers, from 0.

    Raises:
        DataError: a sample has no label; two classes have one name; a label is the name of no class.
    """
    twice = [name for name, count in Counter(classes).items() if count > 1]
    if twice:
        raise DataError(f"{_names(twice)}: two classes of one name cannot be told apart. Rename one of them.")
    missing = sum(label is None for label in labels)
    if missing:
        raise DataError(
            f"{missing} of {len(labels)} samples have no label. Name the column or key that has it (label_column), or "
            "the folder that is the class (label_folder)."
        )
    numbers = {name: i for i, name in enumerate(classes)}
    distinct = dict.fromkeys(str(label) for label in labels)
    if _are_numbers(distinct, classes):
        numbers = {label: int(label) for label in distinct}
        high = max(numbers.values(), default=0)
        if high >= len(classes):
            hint = " They seem to count from 1." if min(numbers.values()) == 1 and high == len(classes) else ""
            raise DataError(
                f"a label is the number {high}, and there are {len(classes)} classes, numbered from 0.{hint} "
                "Give names as labels, or a file of all classes."
            )
        return np.array([numbers[str(label)] for label in labels], np.int64)
    unknown = [label for label in distinct if label not in numbers]
    if unknown:
        close = difflib.get_close_matches(unknown[0], list(numbers), 1, 0.6)
        hint = f" Did you mean {close[0]!r} by {unknown[0]!r}?" if close else ""
        raise DataError(
            f"class names that do not match: {len(unknown)} of {len(distinct)} labels are no class, such as "
            f"{_names(unknown)}; the {len(classes)} classes are such as {_names(classes)}.{hint} Give the names of "
            "the labels in a file (classes), or other labels."
        )
    return np.array([numbers[str(label)] for label in labels], np.int64)


def _are_numbers(labels: Iterable[str], classes: Sequence[str]) -> bool:
    labels = list(labels)
    return bool(labels) and all(n.isascii() and n.isdigit() for n in labels) and not set(labels) & set(classes)


def _names(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
