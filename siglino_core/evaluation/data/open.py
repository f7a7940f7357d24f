"""The door to all data sets: from a data set's settings to a split, whatever its layout."""

import importlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from siglino_core.config import SourceConfig
from siglino_core.config.curate import Format
from siglino_core.config.evaluate import DatasetConfig, Layout
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.chosen import NOT_DRAWN, Part
from siglino_core.evaluation.data.coco import MORE_CAPTIONS, TRAIN, CocoFile, open_coco
from siglino_core.evaluation.data.csv_file import CsvFile, open_csv
from siglino_core.evaluation.data.entries import ROWS, EntrySplit
from siglino_core.evaluation.data.limited import Limited
from siglino_core.evaluation.data.lists import open_lists
from siglino_core.evaluation.data.naming import naming, read_classes
from siglino_core.evaluation.data.opened import OpenSplit, check_count, planned_count
from siglino_core.evaluation.data.pool import PoolSplit, open_pool_split
from siglino_core.evaluation.data.recipe import Recipe, RecipeSplit, load_recipe
from siglino_core.evaluation.data.run import open_run
from siglino_core.evaluation.data.sample import Split
from siglino_core.pools.listing import HIDDEN
from siglino_core.store import Files

Which = Literal["test", "train"]
TABLES, JSONS = (".csv", ".tsv"), (".json",)


class NoTrainingError(ConfigError):
    """A data set has no training images of its own."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is asked for, of one split.

    Attributes:
        own: whether ``uri`` was given for this split, and not for the other.
        rows: samples of a unit, at most.
    """

    config: DatasetConfig
    which: Which
    uri: str
    annotations: str
    recipe: Recipe | None
    known: RecipeSplit | None
    own: bool
    seed: int
    rows: int


def open_split(config: DatasetConfig, split: Which = "test", seed: int = 0, rows: int = ROWS) -> OpenSplit:
    """A data set's split.

    The layout is the one that is asked for, or by ``run``, by the annotations' suffix, by a recipe's own lists, or
    else the pool's that is seen. With ``limit`` a count that differs from the recipe's is a note.

    Args:
        seed: of which samples ``limit`` leaves, and of which images of a run are drawn.
        rows: samples of a unit, at most.

    Raises:
        ConfigError: a setting that cannot be, or no such recipe.
        NoTrainingError: it has no training images.
        DataError: what is there is not what was asked for; the split is empty; counts differ from the recipe's.
        StoreError: the store does not answer.
    """
    recipe = load_recipe(config.recipe) if config.recipe else None
    asked = _asked(config, split, recipe, seed, rows)
    found = _opened(asked)
    notes = _left_out(found)
    units = found.units()
    count = planned_count(units)
    if not units or count == 0:
        raise DataError(f"{_name(config)}: its {split} split is empty. Give files that hold images.")
    if recipe is not None and asked.known is not None:
        notes += _counted(recipe, asked.known, found, count, config.limit)
    classes = read_classes(config.classes) if config.classes else None
    listed = isinstance(found, PoolSplit) and found.listed
    named = naming(found.classes, recipe, classes, listed=listed, part=bool(config.limit))
    if recipe is not None and named.classes and len(named.classes) != recipe.class_count and classes is None:
        notes.append(f"recipe={recipe.name}: {len(named.classes)} classes here, of {recipe.class_count}")
    whole: Split = found
    if config.limit and (count is None or config.limit < count):
        whole, units = Limited(split=found, limit=config.limit, seed=seed), []
        of = f" of {count}" if count is not None else ""
        notes.append(f"a try on {config.limit}{of} samples")
    name = asked.known.name if asked.known is not None else split
    known = None if config.limit else asked.known
    opened = OpenSplit(split=whole, naming=named, name=name, notes=tuple(notes), known=known)
    if units:
        opened.__dict__["_planned"] = units  # of all of it they are made already
    return opened


def find_train(config: DatasetConfig, seed: int = 0, rows: int = ROWS) -> OpenSplit | None:
    """The training split, where there is one: by ``train``, ``run``, or a recipe that finds it beside the test's."""
    try:
        return open_split(config, "train", seed, rows)
    except NoTrainingError:
        return None


def require_apart(test: OpenSplit, train: OpenSplit | None, name: str) -> None:
    """Refuse to learn from the very images that are asked about.

    Raises:
        ConfigError: both splits are the same files.
    """
    if train is not None and train.identity == test.identity:
        raise ConfigError(
            f"{name}: by names and sizes of files its training images are its test images, so that each would find "
            "itself. Leave train out: then each test image is left out in its turn. Or give other images."
        )


def _name(config: DatasetConfig) -> str:
    return config.name or config.recipe or config.uri or config.run


def _asked(config: DatasetConfig, which: Which, recipe: Recipe | None, seed: int, rows: int) -> _Asked:
    known = recipe.splits.get(which) if recipe is not None else None
    uri, annotations = (config.uri, config.annotations) if which == "test" else (config.train, config.train_annotations)
    if which == "train" and not (uri or annotations or config.run or known):
        raise NoTrainingError(f"{_name(config)}: it has no training images. Set train to their folder, file or URL.")
    own = bool(uri or annotations)
    if which == "train" and known is not None and known.karpathy:
        annotations = annotations or config.annotations  # one file tells all splits
    if not own and which == "train":
        uri = config.uri
    if not (uri or annotations or config.run):
        raise ConfigError(f"{_name(config) or 'a data set'}: uri is not set. Give a folder, file, glob or URL.")
    return _Asked(
        config=config,
        which=which,
        uri=uri,
        annotations=annotations,
        recipe=recipe,
        known=known,
        own=own,
        seed=seed,
        rows=rows,
    )


def _opened(asked: _Asked) -> Any:
    """The layout's split."""
    layout = _layout(asked)
    if layout is Layout.RUN:
        test = asked.which == "test"
        return open_run(
            asked.config.run or asked.uri,
            Part.HELD_OUT if test else Part.KEPT,
            asked.config.near_duplicate or None,
            most=asked.config.most_test if test else asked.config.most_train,
            seed=asked.seed,
            rows_per_unit=asked.rows,
        )
    if layout is Layout.MASKS:
        return _elsewhere("masks", "open_masks")(asked.config, asked.which, asked.recipe)
    if layout is Layout.COMPOSITES:
        return _elsewhere("composites", "open_composites")(asked.config, asked.which, asked.seed)
    if layout is Layout.COCO:
        return _coco(asked).in_units_of(asked.rows)
    if layout is Layout.CSV:
        file = asked.annotations or asked.uri
        columns = {"label_column": asked.config.label_column, "caption_column": asked.config.caption_column}
        listed = open_csv(CsvFile(annotations=file, uri=asked.uri if asked.annotations else "", **columns))
        return listed.in_units_of(asked.rows)
    return _pool(asked, layout)


def _elsewhere(module: str, name: str) -> Callable[..., Any]:
    """A reader of its own module, which not every data set needs.

    ``masks.open_masks(config, which, recipe)`` and ``composites.open_composites(config, which, seed)`` return a
    `Split` whose units have ``rows``; ``config`` is the data set's, ``which`` test or train.
    """
    return getattr(importlib.import_module(f"siglino_core.evaluation.data.{module}"), name)


def _layout(asked: _Asked) -> Layout:
    config = asked.config
    if config.layout is not Layout.AUTO:
        return config.layout
    if config.run:
        return Layout.RUN
    if config.masks or config.train_masks or (asked.known is not None and asked.known.masks):
        return Layout.MASKS
    file = (asked.annotations or asked.uri).lower()
    if file.endswith(JSONS):
        return Layout.COCO
    if file.endswith(TABLES) or (asked.annotations and file.endswith(".txt")):
        return Layout.CSV
    if asked.annotations:
        raise ConfigError(f"annotations={asked.annotations}: of neither .json, .csv, .tsv nor .txt. Set layout.")
    if asked.known is not None and asked.known.karpathy:
        return Layout.COCO
    if _is_folder(asked.uri) and all(Files(asked.uri).exists(f"{s}/manifest.json") for s in ("source", "sample")):
        return Layout.RUN
    return Layout.IMAGEFOLDER  # or another of the pools: its reader looks


def _is_folder(uri: str) -> bool:
    """Whether a URL may be a folder's: no glob, no file by its suffix."""
    return bool(uri) and not any(c in uri for c in "*?[{") and not uri.startswith(("http://", "https://", "package://"))


def _coco(asked: _Asked) -> EntrySplit:
    splits = asked.known.karpathy if asked.known is not None else ("test",) if asked.which == "test" else TRAIN
    annotations, uri = asked.annotations, asked.uri
    if not annotations and uri.lower().endswith(JSONS):
        annotations, uri = uri, uri.rpartition("/")[0] or "."
    if not annotations and asked.recipe is not None:
        there = Files(uri)
        annotations = next((f"{uri.rstrip('/')}/{n}" for n in asked.recipe.annotations if there.exists(n)), "")
        if not annotations:
            raise DataError(
                f"uri={uri}: {asked.recipe.annotations[0]} is not there. Set annotations to where it is: it tells the "
                f"split of {asked.recipe.title}. Of other files, say which with layout."
            )
    uri = uri or annotations.rpartition("/")[0] or "."
    labels = bool(asked.config.label_column)
    most = asked.config.captions or (asked.known.first_captions if asked.known is not None else 0)
    return open_coco(CocoFile(annotations=annotations, uri=uri, splits=splits, most=most, labels=labels))


def _pool(asked: _Asked, layout: Layout) -> Any:
    config, known, uri = asked.config, asked.known, asked.uri
    sniffed = config.layout is Layout.AUTO
    if sniffed and known is not None and known.lists is not None:
        listed = open_lists(uri, known.lists)
        if listed is not None:
            return listed.in_units_of(asked.rows)
    folder = next((f for f in known.folders if _has(uri, f)), "") if known is not None else ""
    if not asked.own and asked.which == "train" and not folder:
        raise NoTrainingError(
            f"{_name(config)}: no training images were found in {uri}. Set train to their folder, file or URL."
        )
    source = SourceConfig(
        uri=f"{uri.rstrip('/')}/{folder}" if folder else uri,
        format=config.format if sniffed else Format(layout.value),
        rows_per_shard=asked.rows,
        caption_column=config.caption_column,
        label_column=config.label_column,
        label_folder=config.label_folder,
    )
    return open_pool_split(source, asked.recipe.leave_out if asked.recipe is not None else ())


def _left_out(found: Any) -> list[str]:
    """Notes on what a split leaves out by a rule of its own."""
    notes: list[str] = []
    passed: Counter[str] = getattr(found, "passed", None) or Counter()
    if passed[MORE_CAPTIONS]:
        notes.append(f"the first captions of each image count; {passed[MORE_CAPTIONS]} beyond them do not")
    if passed[NOT_DRAWN]:
        drawn = planned_count(found.units())
        notes.append(f"{drawn} images, drawn by the seed; {passed[NOT_DRAWN]} others of the run were not drawn")
    return notes


def _has(uri: str, folder: str) -> bool:
    return _is_folder(uri) and not HIDDEN.search(folder) and Files(uri).exists(folder)


def _counted(recipe: Recipe, known: RecipeSplit, found: Any, count: int | None, limit: int) -> list[str]:
    """Notes on counts that differ from the recipe's; without a limit they are errors."""
    whole = not recipe.leave_out or not (isinstance(found, PoolSplit) and found.listed)
    counts = {"images": count if whole else None}
    if isinstance(found, EntrySplit) and known.captions:
        counts["captions"] = sum(len(e.captions) for e in found.entries) + found.passed[MORE_CAPTIONS]
    notes: list[str] = []
    for what, number in counts.items():
        try:
            if number is not None:
                check_count(recipe, known, number, what)
        except DataError as e:
            if not limit:
                raise
            notes.append(str(e))
    return notes
