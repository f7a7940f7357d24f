"""What is evaluated, on what: the networks and data sets of a config, or those that a finished run has by itself."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from siglino_core.config import Config, DatasetConfig, EvaluateConfig, Layout, ModelConfig, Task
from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.evaluation.data.composites import SIDE
from siglino_core.evaluation.data.open import find_train, open_split, require_apart
from siglino_core.evaluation.data.opened import OpenSplit
from siglino_core.evaluation.data.recipe import Recipe, load_recipe
from siglino_core.evaluation.network.load import UNTRAINED, Described, describe_network
from siglino_core.evaluation.network.pixels import OnGrid
from siglino_core.evaluation.network.viewed import Viewed
from siglino_core.evaluation.results.rows import AT, STUDENT
from siglino_core.foreign import logger
from siglino_core.store import Manifest, Run
from siglino_core.teachers.text import has_text_side

LOG = logger(__name__)
UNTRAINED_STUDENT = "untrained"
POOL, COMPOSITES = "pool", "composites"  # the data sets that a run has by itself


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A network under evaluation.

    Attributes:
        load: what makes it on a device, if not the door to all that are evaluated.
    """

    name: str
    model: ModelConfig
    described: Described
    load: Callable[..., Viewed] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """A data set: what is asked about, and what is learned from.

    Attributes:
        train: None: the test images themselves, each left out in its turn.
    """

    name: str
    config: DatasetConfig
    test: OpenSplit
    train: OpenSplit | None
    recipe: Recipe | None

    @property
    def dense(self) -> bool:
        """Whether features of patches are asked for."""
        tasks = self.config.tasks
        if tasks:
            return bool({Task.SEGMENTATION, Task.PATCH_RETRIEVAL} & set(tasks))
        if self.recipe is not None:
            return Task.SEGMENTATION in self.recipe.tasks
        return self.config.layout in (Layout.MASKS, Layout.COMPOSITES) or bool(self.config.masks)


def settled(config: Config, run: Run) -> Config:
    """The config with what it leaves to the run: networks, data sets and bounds on an image's area.

    Raises:
        ConfigError: two of one name, or one without a name or network.
        StoreError: it leaves to the run what the run has not.
    """
    evaluate = config.evaluate
    bounds = _bounds(evaluate, run)
    models = evaluate.models or _models(config, run)
    if len(set(evaluate.resolutions)) < len(evaluate.resolutions):
        raise ConfigError(f"evaluate.resolutions={evaluate.resolutions}: each side once")
    named = [replace(m, name=m.name or _word(m.network.partition(":")[0])) for m in models]
    datasets = [_named(d, config) for d in evaluate.datasets or _datasets(run, bounds["max_pixels"])]
    for what, names in (("models", [m.name for m in named]), ("datasets", [d.name for d in datasets])):
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ConfigError(f"evaluate.{what}: {', '.join(twice)} stands there twice; give each a name of its own")
        if odd := [n for n in names if not _is_word(n)]:
            raise ConfigError(f"evaluate.{what}: {odd[0]!r} is no name: letters, digits, - and _")
    return replace(config, evaluate=replace(evaluate, models=named, datasets=datasets, **bounds))


def subjects_of(config: EvaluateConfig) -> list[Subject]:
    """The networks, described; each that goes by the grid also at every side that is asked for.

    Raises:
        ConfigError: one cannot be had, or a side is under one patch.
    """
    bounds = {"min_pixels": config.min_pixels, "max_pixels": config.max_pixels}
    found = [Subject(name=m.name, model=m, described=describe_network(m, **bounds)) for m in config.models]
    return found + [at for subject in found for side in config.resolutions if (at := _at(subject, side)) is not None]


def _at(subject: Subject, side: int) -> Subject | None:
    """The same weights with every image brought to the area of a square; None: no other images than it has already.

    A network that squeezes images to a size of its own has but one size, and one that was never trained no curve.
    """
    described = subject.described
    pixels, area = described.pixels, side**2
    if not isinstance(pixels, OnGrid) or pixels.squeezed or described.spec.kind == UNTRAINED:
        return None
    if side < pixels.resolution.patch_size:
        patch = pixels.resolution.patch_size
        raise ConfigError(f"evaluate.resolutions: {side} is under one patch of {subject.name}, {patch} pixels")
    resolution = replace(pixels.resolution, min_pixels=area, max_pixels=area)
    if resolution == pixels.resolution:
        return None
    name = f"{subject.name}{AT}{side}"
    model = replace(subject.model, name=name, min_pixels=area, max_pixels=area)
    return Subject(name=name, model=model, described=replace(described, pixels=replace(pixels, resolution=resolution)))


def at_bounds(subject: Subject, data: DatasetConfig) -> Described:
    """The network as it sees a data set's images, which may have bounds of their own.

    Raises:
        ConfigError: the bounds exclude each other.
    """
    pixels = subject.described.pixels
    if not isinstance(pixels, OnGrid) or not (data.min_pixels or data.max_pixels):
        return subject.described
    rule = pixels.resolution
    high = data.max_pixels or max(rule.max_pixels, data.min_pixels)
    low = data.min_pixels or min(rule.min_pixels, high)
    if low > high:
        raise ConfigError(f"evaluate.datasets {data.name}: min_pixels={low} is above max_pixels={high}")
    resolution = replace(rule, min_pixels=low, max_pixels=high)
    return replace(subject.described, pixels=replace(pixels, resolution=resolution))


def data_of(config: Config, *, own: bool = False) -> list[Data]:
    """The data sets, opened.

    Args:
        own: they are those that a run has by itself, which not every run allows: one that cannot be is passed over.

    Raises:
        ConfigError, DataError, StoreError: one is not there, or is not what its recipe says; or all that a run has by
            itself cannot be.
    """
    found: list[Data] = []
    why: list[DataError] = []
    rows = config.evaluate.rows_per_shard
    for d in config.evaluate.datasets:
        try:
            test, train = open_split(d, "test", config.seed, rows), find_train(d, config.seed, rows)
        except DataError as e:
            if not own:
                raise
            why.append(e)
            continue
        require_apart(test, train, d.name)
        recipe = load_recipe(d.recipe) if d.recipe else None
        found.append(Data(name=d.name, config=d, test=test, train=train, recipe=recipe))
    if why and not found:
        raise why[0]
    for e in why:
        LOG.warning("passed over: %s", e)
    return found


def _bounds(evaluate: EvaluateConfig, run: Run) -> dict[str, int]:
    """Bounds on an image's area: as given, else as in the run's training, else the config's of the student."""
    targets, export = run.stage("targets").manifest(), run.stage("export").manifest()
    trained = targets.identity["config"] if targets is not None else {"min_pixels": 128**2, "max_pixels": 256**2}
    largest = export.facts["max_pixels"] if export is not None else trained["max_pixels"]
    low, high = evaluate.min_pixels or trained["min_pixels"], evaluate.max_pixels or largest
    if evaluate.min_pixels > high:
        raise ConfigError(f"evaluate.min_pixels={low} is above evaluate.max_pixels={high}")
    return {"min_pixels": min(low, high), "max_pixels": high}


def _models(config: Config, run: Run) -> list[ModelConfig]:
    targets, export = run.stage("targets").manifest(), run.stage("export").manifest()
    if targets is None or export is None:
        raise StoreError(
            f"{config.run}: there is no finished student here to evaluate. Run `siglino distill` first, or name "
            "networks: evaluate.models=[{network: siglino:FOLDER}]"
        )
    _refuse_older_student(run, targets.digest, export)
    teachers = dict(zip(targets.facts["teachers"], targets.facts["asked"], strict=True))
    folder = f"{run.url}/export/student"
    texts = [f"{name}={spec}" for name, spec in teachers.items() if has_text_side(spec)]
    models = [
        ModelConfig(name=STUDENT, network=f"siglino:{folder}", texts=texts),
        ModelConfig(name=UNTRAINED_STUDENT, network=f"{UNTRAINED}:{folder}", texts=texts),
    ]
    return models + [ModelConfig(name=name, network=spec) for name, spec in teachers.items()]


def _refuse_older_student(run: Run, targets: str, export: Manifest) -> None:
    """The exported student is that of the training, and the training's teachers are those that lie there.

    Raises:
        StoreError: one was made anew since.
    """
    train = run.stage("train").manifest()
    if train is None:
        return
    for before, digest, after in (("targets", targets, train), ("train", train.digest, export)):
        if after.identity["inputs"].get(before, digest) != digest:
            raise StoreError(
                f"{run.url}: its {before} was made anew after its {after.stage}, so that the student is an older one. "
                f"Run `siglino distill --redo {after.stage}`."
            )


def _datasets(run: Run, max_pixels: int) -> list[DatasetConfig]:
    if run.stage("sample").manifest() is None:
        why = "there is no finished sample here. Name data sets: evaluate.datasets=[{uri: FOLDER}]"
        raise StoreError(f"{run.url}: {why}")
    whole = SIDE**2 if max_pixels < SIDE**2 else 0  # smaller, a scene's objects would be a patch or two
    scenes = DatasetConfig(name=COMPOSITES, layout=Layout.COMPOSITES, min_pixels=whole, max_pixels=whole)
    return [DatasetConfig(name=POOL, layout=Layout.RUN), scenes]


def _named(d: DatasetConfig, config: Config) -> DatasetConfig:
    if d.layout in (Layout.RUN, Layout.COMPOSITES) or d.run:
        layout = Layout.RUN if d.layout is Layout.AUTO else d.layout
        d = replace(d, run=d.run or config.run, layout=layout, name=d.name or layout.value)
    if not (d.uri or d.run or d.annotations):
        raise ConfigError(f"evaluate.datasets: {d.name or d.recipe or 'one'} has neither uri, annotations nor run")
    return replace(d, name=d.name or d.recipe or _word(_stem(d.uri or d.annotations)))


def _stem(url: str) -> str:
    """A folder's or file's own name, without what follows a dot."""
    return url.rstrip("/").rpartition("/")[2].partition(".")[0]


def _word(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in text)


def _is_word(name: str) -> bool:
    return bool(name) and name == _word(name)
