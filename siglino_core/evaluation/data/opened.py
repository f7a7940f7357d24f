"""A split with its classes named as the evaluation names them, and what is to be said of it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from siglino_core.errors import DataError
from siglino_core.evaluation.data.naming import Naming
from siglino_core.evaluation.data.pool import LEFT_OUT
from siglino_core.evaluation.data.recipe import Recipe, RecipeSplit
from siglino_core.evaluation.data.sample import EvalSample, Split, Unit, Unreadable
from siglino_core.hashing import fingerprint


@dataclass(frozen=True, kw_only=True, eq=False)
class OpenSplit:
    """A split that is ready to be read.

    Attributes:
        split: as the files have it, or a part of that.
        name: what the data set's authors call it, else test or train.
        notes: what a reader of its numbers should know, a sentence each.
        known: of which split of a recipe it should be the whole; None: of none, or a part of one.
    """

    split: Split
    naming: Naming
    name: str
    notes: tuple[str, ...] = ()
    known: RecipeSplit | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_planned"}

    @property
    def identity(self) -> str:
        return fingerprint([self.split.identity, self.naming.classes, dict(self.naming.by_label)])

    @property
    def classes(self) -> Sequence[str]:
        return tuple(storable(name) for name in self.naming.classes)

    @property
    def passed(self) -> Counter[str]:
        """What is no sample, by what it is, as far as it is known."""
        found: Counter[str] | None = getattr(self.split, "passed", None)
        return Counter() if found is None else found

    @cached_property
    def _planned(self) -> list[Unit]:
        return self.split.units()

    def units(self) -> list[Unit]:
        return self._planned

    def read(self, unit: Unit) -> Iterator[EvalSample | Unreadable]:
        """The samples of a unit.

        Raises:
            DataError: a label is the name of no class; and as the layout's own reader.
        """
        leave_out = self.naming.recipe.leave_out if self.naming.recipe is not None else ()
        for sample in self.split.read(unit):
            if sample.label is not None and sample.label in leave_out:
                self.passed[LEFT_OUT] += 1
            else:
                label = self.naming(sample.label)
                yield replace(
                    sample,
                    sample_id=storable(sample.sample_id),
                    label=None if label is None else storable(label),
                    captions=tuple(map(storable, sample.captions)),
                )

    def require_count(self, count: int) -> None:
        """Refuse another number of samples than the recipe's, once all have been read: of tars nobody knows before.

        Raises:
            DataError: as :func:`check_count`.
        """
        if self.naming.recipe is not None and self.known is not None:
            check_count(self.naming.recipe, self.known, count)


def storable(text: str) -> str:
    """Text that UTF-8 can write: a file's name of other bytes has halves of characters, which stand as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def planned_count(units: Sequence[Unit]) -> int | None:
    """How many samples there are; None: nobody knows before the tars are read."""
    return None if any("file" in unit for unit in units) else sum(unit["rows"] for unit in units)


def check_count(recipe: Recipe, split: RecipeSplit, count: int, what: str = "images") -> None:
    """Refuse another number of images or captions than the data set's split has.

    Raises:
        DataError: which, and what may be the matter.
    """
    expected = split.captions if what == "captions" else split.count
    if not expected or count == expected:
        return
    problems = f" Known of it: {'; '.join(recipe.known_problems)}." if recipe.known_problems else ""
    raise DataError(
        f"recipe={recipe.name}: {count} {what}, and the split {split.name!r} of {recipe.title} has {expected}. Is it "
        f"another split, or not all there?{problems} Without recipe= the files are taken as they are."
    )
