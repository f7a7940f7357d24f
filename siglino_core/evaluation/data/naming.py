"""From what the files call a class to its name: by folder, list, number or the order of a Hugging Face ClassLabel."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from siglino_core.errors import DataError
from siglino_core.evaluation.data.annotations import read_text
from siglino_core.evaluation.data.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Naming:
    """The class of every label.

    Attributes:
        classes: in the order of their numbers; empty: whatever the labels say.
        by_label, by_folded: the class of a label as the files have it, and of what :func:`folded` makes of it.
        numbered: whether a label that is a number is a class's, from 0.
        strict: whether a label that is none of these is refused; else it is a class of its own.
        recipe: whose rule makes names of labels, where classes are not known.
    """

    classes: tuple[str, ...] = ()
    by_label: Mapping[str, str] = field(default_factory=dict)
    by_folded: Mapping[str, str] = field(default_factory=dict)
    numbered: bool = False
    strict: bool = False
    recipe: Recipe | None = None

    def __call__(self, label: str | None) -> str | None:
        """A label's class.

        Raises:
            DataError: it is the name of no class.
        """
        if label is None:
            return None
        if label in self.by_label:
            return self.by_label[label]
        if not self.strict:
            return self.recipe.tidy(label) if self.recipe is not None else label
        if (found := self.by_folded.get(folded(label))) is not None:
            return found
        if self.numbered and label.isascii() and label.isdigit() and int(label[:9]) < len(self.classes):
            return self.classes[int(label[:9])]
        close = difflib.get_close_matches(label, [*self.classes, *self.by_label], 1, 0.6)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        where = f" of the recipe {self.recipe.name}" if self.recipe is not None else ""
        raise DataError(
            f"class names that do not match: the label {label!r} is none of the {len(self.classes)} classes{where}, "
            f"such as {', '.join(map(repr, self.classes[:5]))}.{hint} Rename the folder, or give other labels."
        )


def folded(name: str) -> str:
    """A name without case, and with spaces for what stands between words."""
    return " ".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def read_classes(uri: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(names, keys) of a text file: a class a line in the order of their numbers, or a folder, a tab and the class.

    Raises:
        DataError: it is not there, empty, or names a class twice.
    """
    read = read_text(uri, "classes")
    lines = [line.strip() for line in read.text.splitlines() if line.strip()]
    keys = tuple(line.partition("\t")[0].strip() for line in lines)
    names = tuple(line.rpartition("\t")[2].strip() for line in lines)
    twice = [name for name, count in (Counter(names) + Counter(set(keys) - set(names))).items() if count > 1]
    if twice or not lines:
        raise DataError(
            f"classes={read.url}: it names {f'{twice[0]!r} twice' if twice else 'no class'}. Give a class a line, in "
            "the order of their numbers."
        )
    return names, keys


def naming(
    found: Sequence[str],
    recipe: Recipe | None = None,
    asked: tuple[tuple[str, ...], tuple[str, ...]] | None = None,
    *,
    listed: bool = False,
    part: bool = False,
) -> Naming:
    """How labels become classes.

    Args:
        found: the classes as the files name them; empty: nobody knows before they are read.
        asked: the classes by the user's own file (:func:`read_classes`); they come before a recipe's.
        listed: whether the files say which number each of ``found`` has, as a ClassLabel does and folders do not.
        part: whether some classes may be missing.

    Raises:
        DataError: the files have other classes than the recipe, or two labels become one class.
    """
    if asked is not None:
        return _known(*asked, found, recipe, ordered=True, listed=listed)
    known = recipe.classes if recipe is not None else None
    if recipe is None:
        return Naming(classes=tuple(found))
    if known is not None:
        return _known(known.names, known.keys, found, recipe, ordered=recipe.ordered, listed=listed)
    labels = [label for label in found if label not in recipe.leave_out]
    if not labels:
        return Naming(recipe=recipe)
    names = [recipe.tidy(label) for label in labels]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"recipe={recipe.name}: two classes of the files would be named {twice[0]!r}. Rename one.")
    if recipe.class_count and len(names) != recipe.class_count and not part:
        raise DataError(
            f"recipe={recipe.name}: the files have {len(names)} classes, such as {', '.join(map(repr, labels[:5]))}, "
            f"and {recipe.title} has {recipe.class_count}. Is it all there, and nothing else?"
        )
    return Naming(classes=tuple(names), by_label=dict(zip(labels, names, strict=True)), recipe=recipe)


def _known(
    names: tuple[str, ...],
    keys: tuple[str, ...],
    found: Sequence[str],
    recipe: Recipe | None,
    *,
    ordered: bool,
    listed: bool,
) -> Naming:
    """Classes that are known beforehand, by their keys and names; by number or place, where the order is known."""
    alike = Counter(folded(name) for name in names)
    by_folded = {folded(name): name for name in names if alike[folded(name)] == 1}
    by_label: dict[str, str] = dict(zip(names, names, strict=True)) | dict(zip(keys, names, strict=True))
    if ordered and len(found) == len(names) and any(f not in by_label and folded(f) not in by_folded for f in found):
        digits = [f for f in found if f.isascii() and f.isdigit()]
        from_one = len(digits) == len(found) and {int(f) for f in found} == set(range(1, len(names) + 1))
        if from_one:  # folders 1 to 102, as some copies have them
            by_label |= {f: names[int(f) - 1] for f in found}
        elif listed:
            by_label |= dict(zip(found, names, strict=True))
    return Naming(classes=names, by_label=by_label, by_folded=by_folded, numbered=ordered, strict=True, recipe=recipe)
