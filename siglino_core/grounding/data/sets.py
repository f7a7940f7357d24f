"""The images with expressions that a config names: what they are called, what decides them, their rows in pieces."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from siglino_core.config import DatasetConfig, ReferringConfig, ReferringLayout, shaping
from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.data.annotations import named
from siglino_core.evaluation.data.composites import run_cutouts
from siglino_core.grounding.data.coco import Categories
from siglino_core.grounding.data.folder import Folder
from siglino_core.grounding.data.left_out import NOBODY, Item, Without, filtered
from siglino_core.grounding.data.refer import TRAIN, Refer, held_out_ids
from siglino_core.grounding.data.refs import DATASETS, refs_file, refs_there, require_known
from siglino_core.grounding.data.stored import Stored, Unit
from siglino_core.grounding.data.synthetic.level import LEVELS
from siglino_core.grounding.data.synthetic.scenes import VERSION, Scenes
from siglino_core.pools.location import Location, find
from siglino_core.store import Run
from siglino_core.store.files import reported

TEST = "test"


class Rows(Protocol):
    """A set that is open."""

    def units(self, rows: int, limit: int = 0) -> list[Unit]:
        """Pieces of at most so many rows, each with its ``start`` and ``stop``; only the first ``limit`` rows, or 0."""
        ...

    def read(self, unit: Unit, without: Without = NOBODY) -> Iterator[Item]:
        """The images of a piece, and what is left out of it."""
        ...


class _Numbered(Protocol):
    def __len__(self) -> int: ...

    def read(self, start: int, stop: int, without: Without = NOBODY) -> Iterator[Item]: ...


@dataclass(frozen=True, eq=False)
class Ranged:
    """Rows that are read by their numbers."""

    source: _Numbered

    def units(self, rows: int, limit: int = 0) -> list[Unit]:
        count = min(len(self.source), limit or len(self.source))
        return [{"start": at, "stop": min(at + rows, count)} for at in range(0, count, rows)]

    def read(self, unit: Unit, without: Without = NOBODY) -> Iterator[Item]:
        return self.source.read(unit["start"], unit["stop"], without)


@dataclass(frozen=True, eq=False)
class Made:
    """Synthetic scenes by their numbers."""

    scenes: Scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def read(self, start: int, stop: int, without: Without = NOBODY) -> Iterator[Item]:
        return filtered(map(self.scenes.__getitem__, range(start, stop)), without)


@dataclass(frozen=True, kw_only=True)
class ReferringSet:
    """One set of a config, not opened yet.

    Attributes:
        config: with what it leaves open filled in.
        train: to train on; else to test on.
        seed: of scenes, and of absent categories.
    """

    config: ReferringConfig
    train: bool
    seed: int

    @property
    def name(self) -> str:
        """In tables and messages, such as ``refcoco/unc/val``."""
        return self.config.name

    def identity(self) -> dict[str, Any]:
        """What decides its rows: settings, and of files what they hold, not where they lie; images by name and size.

        Raises:
            ConfigError, DataError, StoreError: a file is not there, or not what it should be.
        """
        return {**shaping(self.config), "files": self._files()}

    def open(self) -> Rows:
        """Read the annotations, and see that the images are there.

        Raises:
            ConfigError, DataError, StoreError: as the layout's own reader.
        """
        config = self.config
        match config.layout:
            case ReferringLayout.SYNTHETIC:
                return Ranged(Made(self._scenes()))
            case ReferringLayout.REFER:
                refer = Refer(
                    config.uri,
                    config.images,
                    dataset=config.dataset,
                    split_by=config.split_by,
                    split=config.split,
                    published=config.published,
                )
                return Ranged(refer)
            case ReferringLayout.COCO:
                categories = Categories(
                    config.uri,
                    config.images,
                    name=config.name,
                    negatives=config.negatives,
                    seed=self.seed,
                    coco_ids=True,
                )
                return Ranged(categories)
            case ReferringLayout.PARQUET:
                return Stored(config.uri)

    def held_out(self) -> frozenset[str]:
        """Images that no training on this set may see: of the other splits of all REFER data sets that are there.

        Raises:
            ConfigError, DataError, StoreError: as `siglino_core.grounding.data.refer.held_out_ids`.
        """
        return held_out_ids(self.config.uri, self._held_out_sets()) if self._holds_out else frozenset()

    def annotation_bytes(self) -> int:
        """Bytes of the annotations that :meth:`open` holds in memory, as they lie there; 0: it holds none.

        Raises:
            ConfigError, DataError, StoreError: they are not there.
        """
        match self.config.layout:
            case ReferringLayout.REFER:
                return _found(self._instances)[2]
            case ReferringLayout.COCO:
                return _found(self.config.uri)[2]
            case _:
                return 0

    @property
    def _instances(self) -> str:
        return f"{self.config.uri.rstrip('/')}/{self.config.dataset}/instances.json"

    @property
    def _holds_out(self) -> bool:
        return self.train and self.config.layout is ReferringLayout.REFER

    def _held_out_sets(self) -> list[tuple[str, str]]:
        own = self.config.dataset, self.config.split_by
        return list(dict.fromkeys([own, *refs_there(self.config.uri)]))

    def _files(self) -> dict[str, Any]:
        config = self.config
        match config.layout:
            case ReferringLayout.SYNTHETIC:
                return {"version": VERSION, "cutouts": _sample(config.cutouts) if config.cutouts else ""}
            case ReferringLayout.REFER:
                root = config.uri
                held_out = self._held_out_sets() if self._holds_out else []
                return {
                    "refs": refs_file(root, config.dataset, config.split_by).digest,
                    "instances": _digest(self._instances),
                    "images": Folder(config.images).listing,
                    "held_out": {f"{name}/{by}": refs_file(root, name, by).digest for name, by in held_out},
                }
            case ReferringLayout.COCO:
                return {"instances": _digest(config.uri), "images": Folder(config.images).listing}
            case ReferringLayout.PARQUET:
                return {"rows": Stored(config.uri).listing}

    def _scenes(self) -> Scenes:
        config = self.config
        return Scenes(
            self.seed,
            (config.side, config.side),
            count=config.count,
            level=LEVELS[config.difficulty],
            split=TRAIN if self.train else TEST,
            cutouts=run_cutouts(DatasetConfig(run=config.cutouts), self.seed) if config.cutouts else (),
        )


def sets_of(configs: Sequence[ReferringConfig], *, train: bool, seed: int) -> list[ReferringSet]:
    """The sets of a config, named.

    Raises:
        ConfigError: a data set that there is not, two sets of the same images, or two test sets of one name.
    """
    sets = [ReferringSet(config=_resolved(config, train), train=train, seed=seed) for config in configs]
    _require_apart(sets)
    names = [one.name for one in sets]
    if not train and (twice := sorted({name for name in names if names.count(name) > 1})):
        raise ConfigError(
            f"expressions.test: two sets are called {twice[0]}: give each a name of its own (expressions.test[].name)"
        )
    return sets


def _require_apart(sets: Sequence[ReferringSet]) -> None:
    """Refuse the same images twice; as many more drawn scenes as are wanted are one set."""
    seen: dict[ReferringConfig, str] = {}
    for one in sets:
        images = replace(one.config, name="", count=1, limit=0, negatives=0)
        if other := seen.get(images):
            which = "train" if one.train else "test"
            more = " For more scenes raise its count." if one.config.layout is ReferringLayout.SYNTHETIC else ""
            raise ConfigError(f"expressions.{which}: {other} and {one.name} are the same images. Leave one out.{more}")
        seen[images] = one.name


def _resolved(config: ReferringConfig, train: bool) -> ReferringConfig:
    name = ""
    match config.layout:
        case ReferringLayout.SYNTHETIC:
            name = f"synthetic-{config.difficulty.value}"
        case ReferringLayout.COCO:
            name = "coco"
        case ReferringLayout.PARQUET:
            name = config.uri.rstrip("/").rpartition("/")[2].removesuffix(".parquet")
        case ReferringLayout.REFER:
            split_by = config.split_by or DATASETS.get(config.dataset, ("",))[0]
            require_known(config.dataset, split_by)
            config = replace(config, split_by=split_by, split=config.split or (TRAIN if train else "val"))
            name = f"{config.dataset}/{split_by}/{config.split}"
    return replace(config, name=config.name or name)


def _sample(url: str) -> str:
    """What a run's cut-outs are taken from."""
    return Run(url).stage("sample").require().digest


def _found(uri: str) -> tuple[Location, str, int]:
    """Where a file of annotations lies, its name there, and its bytes.

    Raises:
        DataError: it is not there, or a folder.
        StoreError: the store does not answer.
    """
    with named("annotations"):
        location, listing = find(uri)
    if len(listing.sizes) != 1:
        raise DataError(f"annotations={location.public}: it is a folder or several files. Give one file.")
    ((name, size),) = listing.sizes.items()
    return location, name, size


def _digest(uri: str) -> str:
    """SHA-256 of a file, which is not held in memory; raises as :func:`_found`."""
    location, name, _ = _found(uri)
    with location.open(name) as file, reported(location.url(name)):
        return hashlib.file_digest(file, "sha256").hexdigest()
