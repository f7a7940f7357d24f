"""Known data sets: their classes, templates, splits and counts, as facts in `recipes/*.toml`."""

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from typing import Any

from siglino_core.config.evaluate import Task
from siglino_core.errors import ConfigError
from siglino_core.evaluation.data.class_names import KNOWN, KnownClasses
from siglino_core.evaluation.data.lists import Lines, Lists

PACKAGE = "siglino_core.evaluation.data"
_NUMBER = re.compile(r"^\d+\.(?=\S)")  # of CUB's folders: 001.Black_footed_Albatross


@dataclass(frozen=True, kw_only=True)
class RecipeSplit:
    """A split of a known data set.

    Attributes:
        name: as the data set's authors call it.
        count, captions: how many images it has, and captions in all; 0: not known.
        first_captions: captions an image that count, the first of each; 0: all.
        folders: below the data set's folder, where its images are if they lie by split.
        lists: how the authors' own lists tell it, where they do.
        karpathy: its names in Karpathy's JSON.
        images, masks: folders of a segmentation data set, its list, and how its masks' names differ.
    """

    name: str
    count: int = 0
    captions: int = 0
    first_captions: int = 0
    folders: tuple[str, ...] = ()
    lists: Lists | None = None
    karpathy: tuple[str, ...] = ()
    images: str = ""
    masks: str = ""
    list: str = ""
    image_suffix: str = ""
    mask_suffix: str = ""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A known data set.

    Attributes:
        metric: the official one: top1, mean_per_class, recall_at_1 or miou.
        class_count: 0: it has no classes.
        known: where its class names come from (`class_names.KNOWN`); empty: ``class_names``, or its folders' names.
        ordered: whether files that number its classes, or list other names of them, do so in its own order.
        leave_out: folders that are no class.
        annotations: names of the JSON that tells its splits, as it is handed out.
        renames: names for texts, of classes whose own say little.
        templates: its own for zero-shot, ``{}`` for the class.
        mask_ids: the value in its masks of each class, in order; all others are ignored.
        known_problems: what numbers on it may hide.
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    metric: str
    splits: Mapping[str, RecipeSplit]
    class_count: int = 0
    known: str = ""
    class_names: tuple[str, ...] = ()
    ordered: bool = False
    leave_out: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    templates: tuple[str, ...] = ()
    mask_ids: tuple[int, ...] = ()
    known_problems: tuple[str, ...] = ()

    @cached_property
    def classes(self) -> KnownClasses | None:
        """Its classes in the order of their numbers; None: its folders or lists name them."""
        if self.known:
            return KNOWN[self.known]()
        return KnownClasses(names=self.class_names, keys=self.class_names) if self.class_names else None

    def tidy(self, label: str) -> str:
        """A folder's or list's name of a class as its name: 001.Black_footed_Albatross as Black footed Albatross."""
        if label in self.renames:
            return self.renames[label]
        return " ".join(_NUMBER.sub("", label).replace("_", " ").split()) or label

    def spoken(self, classes: Sequence[str]) -> list[str]:
        """The classes as texts name them; two classes may be spoken of alike."""
        plain = self.classes.spoken if self.classes is not None else {}
        return [plain.get(name, name) for name in classes]


def recipes() -> list[str]:
    """The names of all recipes."""
    found = (entry.name for entry in files(PACKAGE).joinpath("recipes").iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def load_recipe(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    known = recipes()
    if name not in known:
        folded = {_folded(k): k for k in known}
        close = difflib.get_close_matches(_folded(name), list(folded), 1, 0.5)
        hint = f" Did you mean {folded[close[0]]}?" if close else ""
        raise ConfigError(f"recipe={name}: there is no such recipe.{hint} There are {', '.join(known)}.")
    text = files(PACKAGE).joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")
    return _recipe(name, tomllib.loads(text))


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _recipe(name: str, stored: dict[str, Any]) -> Recipe:
    splits = {key: _split(values) for key, values in stored.pop("splits").items()}
    tasks = tuple(Task(t) for t in stored.pop("tasks"))
    if (first := stored.pop("mask_first", None)) is not None:
        stored["mask_ids"] = range(first, first + stored["class_count"])
    return Recipe(name=name, splits=splits, tasks=tasks, **{k: _frozen(v) for k, v in stored.items()})


def _split(stored: dict[str, Any]) -> RecipeSplit:
    lists = stored.pop("lists", None)
    if lists is not None:
        lists = Lists(lines=Lines(lists.pop("lines")), **{k: _frozen(v) for k, v in lists.items()})
    return RecipeSplit(lists=lists, **{k: _frozen(v) for k, v in stored.items()})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | range) else value
