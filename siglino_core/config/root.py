"""One config for the whole path, and what no config may ask for."""

import itertools
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from siglino_core.config import settings
from siglino_core.config.curate import (
    ClusterConfig,
    EmbedConfig,
    ReportConfig,
    SampleConfig,
    SourceConfig,
)
from siglino_core.config.distill import STUDENTS, ExportConfig, Stored, TargetsConfig, TrainConfig
from siglino_core.config.evaluate import EvaluateConfig
from siglino_core.config.ground import (
    AnswersConfig,
    ExpressionsConfig,
    GroundConfig,
    ReferringConfig,
    ReferringLayout,
)
from siglino_core.config.runtime import RuntimeConfig
from siglino_core.config.settings import did_you_mean, setting

T = TypeVar("T")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,63}\Z")  # of another model: its rows lie in a file of that name
RESERVED = ("grounding", "baseline")  # rows of our own


@dataclass(frozen=True, kw_only=True)
class Config:
    """The whole path: source -> embed -> cluster -> sample -> report, then targets -> train -> export -> evaluate,
    then expressions -> ground -> answers.
    """

    run: str = setting("runs/default", "folder or URL of the artifacts", shapes=False)
    seed: int = setting(0, "number from which every random choice follows", ge=0)
    source: SourceConfig = field(default_factory=SourceConfig)
    embed: EmbedConfig = field(default_factory=EmbedConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    targets: TargetsConfig = field(default_factory=TargetsConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    expressions: ExpressionsConfig = field(default_factory=ExpressionsConfig)
    ground: GroundConfig = field(default_factory=GroundConfig)
    answers: AnswersConfig = field(default_factory=AnswersConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)


def build(cls: type[T], values: dict[str, Any]) -> T:
    """A config from nested plain values.

    Raises:
        ConfigError: with every unknown key, wrong type and impossible value, one a line.
    """
    return settings.build(cls, values, _impossible)


def _impossible(config: Any) -> list[str]:
    if not isinstance(config, Config):
        return []
    return _curation(config) + _distillation(config) + _grounding(config)


def _curation(config: Config) -> list[str]:
    errors: list[str] = []
    levels = config.cluster.num_clusters
    if any(a <= b for a, b in itertools.pairwise(levels)):
        errors.append(f"cluster.num_clusters: {levels} does not decrease from the finest level up")
    if not config.run:
        errors.append("run: a folder or URL is needed")
    return errors


def _distillation(config: Config) -> list[str]:
    errors: list[str] = []
    targets, train = config.targets, config.train
    if not targets.teachers:
        errors.append("targets.teachers: at least one is needed")
    if twice := sorted({t for t in targets.teachers if targets.teachers.count(t) > 1}):
        errors.append(f"targets.teachers: {', '.join(twice)} stands there twice")
    if targets.min_pixels > targets.max_pixels:
        errors.append(f"targets.min_pixels: {targets.min_pixels} is above targets.max_pixels={targets.max_pixels}")
    stored = targets.keep is not Stored.ONLINE
    if stored and train.flip:
        errors.append(
            f"train.flip needs targets.keep=online: targets.keep={targets.keep.value} are of images as they are"
        )
    if train.student not in STUDENTS and not Path(train.student).is_file():
        hint = did_you_mean(train.student, list(STUDENTS))
        errors.append(f"train.student: {train.student!r} is neither a file nor one of {', '.join(STUDENTS)}{hint}")
    names = [p.name for p in train.parts]
    errors += [f"train.parts[{i}].name: a part needs a name" for i, name in enumerate(names) if not name]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        errors.append(f"train.parts: names {names}: {', '.join(twice)} stands there twice; each needs its own")
    if len({p.ratio > 0 for p in train.parts}) > 1:
        errors.append("train.parts: ratios for all of them, or for none")
    errors += [
        f"train.parts: {p.name} is of other images or another resolution than the stored targets "
        f"(targets.keep={targets.keep.value}); make it equal, or use targets.keep=online"
        for p in train.parts
        if stored and (p.run or (p.min_pixels, p.max_pixels) != (targets.min_pixels, targets.max_pixels))
    ]
    weights, drop, count = train.loss.weights, train.loss.drop, len(targets.teachers)
    if weights and len(weights) != count:
        errors.append(
            f"train.loss.weights: {len(weights)} numbers for the {count} of targets.teachers: one for each, in order"
        )
    if drop > 0 and count < 2:
        errors.append(f"train.loss.drop={drop:g} needs several teachers, and targets.teachers has {count}: set it to 0")
    packs = train.pack.packs_per_step
    if train.ranks and packs % train.ranks:
        errors.append(f"train.pack.packs_per_step={packs} over train.ranks={train.ranks}: every rank holds as many")
    return errors


def _grounding(config: Config) -> list[str]:
    errors: list[str] = []
    sets, ground = config.expressions, config.ground
    for which in ("train", "test"):
        for i, one in enumerate(getattr(sets, which)):
            errors += [f"expressions.{which}[{i}].{line}" for line in _lacking(one)]
    names = [one.name for one in sets.test if one.name]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        errors.append(f"expressions.test: {', '.join(twice)} stands there twice; each test set needs its own name")
    errors += _others(config.answers)
    packs = ground.pack.packs_per_step
    if ground.ranks and packs % ground.ranks:
        errors.append(f"ground.pack.packs_per_step={packs} over ground.ranks={ground.ranks}: every rank holds as many")
    return errors


def _others(answers: AnswersConfig) -> list[str]:
    """What other models' answers need: a name of their own, and a file."""
    errors: list[str] = []
    names = [one.name for one in answers.others]
    for i, one in enumerate(answers.others):
        key = f"answers.others[{i}]"
        if not FILE_NAME.match(one.name) or one.name in RESERVED:
            errors.append(
                f"{key}.name: {one.name!r} cannot name a model: letters, digits, dots, dashes and underscores, and "
                f"none of {', '.join(RESERVED)}"
            )
        elif names.index(one.name) < i:
            errors.append(f"{key}.name: {one.name} stands there twice; each model needs its own")
        if not one.uri:
            errors.append(f"{key}.uri: a file of JSON lines is needed")
    return errors


def _lacking(one: ReferringConfig) -> list[str]:
    """What a set of images with expressions needs, and is not given."""
    if one.layout is ReferringLayout.SYNTHETIC:
        return []
    needs = ["uri"] if one.layout is ReferringLayout.PARQUET else ["uri", "images"]
    return [f"{name}: layout={one.layout.value} needs a folder or URL" for name in needs if not getattr(one, name)]
