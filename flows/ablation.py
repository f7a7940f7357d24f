"""A grid of trainings as a file says it: what all arms share, what each changes, and by what they are compared."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from flows.config import CONF
from flows.words import is_file
from siglino_core.config import did_you_mean
from siglino_core.errors import ConfigError
from siglino_core.evaluation.results.ablation import DOWN, UP, Measure

FOLDER = CONF / "ablation"
RUN, SPLIT, HERE = "@run", "@split", "@grid"  # in words: the training's own run, the one that parts the pool, a folder
GROUNDED = "answers"  # the stage that ends a run which grounds
LAST = ("evaluate", GROUNDED)  # stages that a run of a grid may end with
_NAMED = re.compile(r"(?<!\w)@([A-Za-z0-9][A-Za-z0-9_-]*)")
_ARM = re.compile(r"(?!(run|split|grid|logs)$)[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """Where a measure's number stands: in the evaluation's results, or among the facts of the training.

    Attributes:
        task, dataset, network, view, metric: of a result, by default of the student's own features; empty: the only one
            there is, of a result the headline.
        fact: of the manifest of ``train`` instead, or of ``ground`` where runs end with that, such as
            ``tokens_per_second`` or ``losses.last.lite.relation``.
    """

    task: str = ""
    dataset: str = ""
    network: str = "student"
    view: str = "siglino"
    metric: str = ""
    fact: str = ""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """An ablation.

    Attributes:
        split: settings of the run that parts the pool into what arms draw from and what they are tested on; empty: the
            arms' own settings say where their images and tests are.
        base: settings of all arms; words may name ``@run``, ``@split``, ``@grid``, the folder of the grid's file, or
            ``@ARM``, that arm's run of the same seed.
        arms: what each changes, by name.
        baseline: the arm that the others are compared with.
        last: the stage that ends a run: evaluate, or answers.
        grounds: arms that fine-tune another arm's student, and make no student of their own.
        seeds: how many, from 0.
        metrics, measures: by name, where a number stands and how it is shown.
        seconds: that one training and its evaluation take on one core, as measured; 0: not known.
        here: the folder of its file.
    """

    name: str
    here: str = ""
    split: Sequence[str] = ()
    base: Sequence[str] = ()
    arms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    baseline: str = ""
    last: str = "evaluate"
    grounds: Sequence[str] = ()
    seeds: int = 3
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    measures: Sequence[Measure] = ()
    seconds: float = 0.0

    def stands_on(self, arm: str) -> set[str]:
        """The arms whose runs this one's words name, and those that these name in their turn."""
        found: set[str] = set()
        waiting = [arm]
        while waiting:
            new = set(referred([*self.base, *self.arms[waiting.pop()]], list(self.arms))) - found
            found |= new
            waiting += new
        return found


def grids() -> list[str]:
    """The ablations that ship."""
    return sorted(p.stem for p in FOLDER.glob("*.yaml"))


def load_grid(name: str) -> Grid:
    """A grid that ships, or the YAML file of one's own.

    Raises:
        ConfigError: there is none, or it does not hold.
    """
    path = Path(name) if is_file(name) else FOLDER / f"{name}.yaml"
    if not is_file(name) and name not in grids():
        raise ConfigError(f"ablate {name}: there is no such grid{did_you_mean(name, grids())}: {', '.join(grids())}")
    values = _read(path)
    if (common := values.pop("common", None)) is not None:
        values = _onto(_read(FOLDER / "common" / f"{common}.yaml"), values)
    return _built(path, values, alone=common is None)


def referred(words: Sequence[str], arms: Sequence[str]) -> list[str]:
    """The arms whose runs the words name, which must be finished before."""
    named = {match[1] for word in words for match in _NAMED.finditer(word)}
    return [arm for arm in arms if arm in named]


def unknown(words: Sequence[str], arms: Sequence[str]) -> str:
    """What is wrong with the first name in the words that is neither an arm's nor a place; empty: nothing."""
    known = [*arms, *(place[1:] for place in (RUN, SPLIT, HERE))]
    for word in words:
        for match in _NAMED.finditer(word):
            if match[1] not in known:
                return f"{word}: there is no arm {match[1]}{did_you_mean(match[1], known)}: {', '.join(arms)}"
    return ""


def placed(words: Sequence[str], places: Mapping[str, str]) -> list[str]:
    """The words with runs in place of their names: ``@run/export`` is ``a/export`` where ``@run`` is ``a``."""
    return [_NAMED.sub(lambda match: places.get(match[0], match[0]), word) for word in words]


def _read(path: Path) -> dict[str, Any]:
    try:
        values: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (OSError, OmegaConfBaseException, YAMLError, ValueError) as e:
        raise ConfigError(f"ablate {path}: it cannot be read: {(str(e).splitlines() or [''])[0]}") from e
    if values == {}:
        raise ConfigError(f"ablate {path}: it is empty; a grid has a baseline, arms and metrics")
    if not isinstance(values, dict):
        raise ConfigError(f"ablate {path}: it is no mapping of keys")
    return values


def _onto(below: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """A grid over what it stands on: its words after those, its metrics' keys over those of the same name."""
    found = {**below, **values}
    for words in ("split", "base"):
        found[words] = [*below.get(words, []), *(values.get(words) or [])]
    metrics = below.get("metrics", {})
    found["metrics"] = {
        **{name: {**metric, **((values.get("metrics") or {}).get(name) or {})} for name, metric in metrics.items()},
        **{name: metric for name, metric in (values.get("metrics") or {}).items() if name not in metrics},
    }
    return found


def _built(path: Path, values: dict[str, Any], *, alone: bool) -> Grid:
    """The grid of a file.

    Args:
        alone: it stands on no other, which might tell what it leaves out.
    """
    name = path.stem
    known = [f.name for f in fields(Grid) if f.name not in ("name", "here", "measures")]
    faults = [f"unknown key {key}{did_you_mean(str(key), [*known, 'common'])}" for key in values if key not in known]
    arms = {str(arm): [str(word) for word in words or []] for arm, words in (values.get("arms") or {}).items()}
    baseline, seeds = values.get("baseline", ""), values.get("seeds", 3)
    if baseline not in arms:
        faults.append(f"the baseline {baseline or '(none)'} is not among its arms: {', '.join(arms) or 'none'}")
    if odd := [arm for arm in arms if not _ARM.fullmatch(arm)]:
        faults.append(f"{odd[0]!r} is no name of an arm: letters, digits, - and _, and not run, split, grid or logs")
    last, grounds = values.get("last", LAST[0]), [str(arm) for arm in values.get("grounds") or []]
    if last not in LAST:
        faults.append(f"last: {last!r} is none of {', '.join(LAST)}")
    if grounds and last != GROUNDED:
        faults.append(f"grounds: only with last: {GROUNDED}")
    faults += [f"grounds: there is no arm {arm}{did_you_mean(arm, list(arms))}" for arm in grounds if arm not in arms]
    if not isinstance(seeds, int):
        faults.append(f"seeds: {seeds!r} is no whole number")
    for where, words in {"base": [str(w) for w in values.get("base") or []], **arms}.items():
        if fault := unknown(words, list(arms)):
            faults.append(f"{where}: {fault}")
    metrics, measures = {}, []
    for key, metric in (values.get("metrics") or {}).items():
        try:
            metrics[key], measure = _metric(key, dict(metric or {}), list(arms))
            measures.append(measure)
        except (TypeError, ValueError) as e:
            below = _elsewhere(key) if alone and not {"task", "fact"} & set(metric or {}) else ""
            faults.append(f"metrics.{key}: {e}{below}")
    if not values.get("metrics"):
        faults.append("metrics: at least one is needed")
    if faults:
        raise ConfigError(*(f"ablate {name}: {fault}" for fault in faults))
    grid = Grid(
        name=name,
        here=str(path.parent.absolute()),
        split=[str(word) for word in values.get("split") or []],
        base=[str(word) for word in values.get("base") or []],
        arms=arms,
        baseline=baseline,
        last=last,
        grounds=grounds,
        seeds=seeds,
        metrics=metrics,
        measures=measures,
        seconds=float(values.get("seconds", 0.0)),
    )
    if endless := [arm for arm in arms if arm in grid.stands_on(arm)]:
        raise ConfigError(f"ablate {name}: the arm {endless[0]} waits for its own run")
    return grid


def _elsewhere(metric: str) -> str:
    """Which of the common grounds has a metric of the name."""
    grounds = sorted((FOLDER / "common").glob("*.yaml"))
    having = [path.stem for path in grounds if metric in _read(path).get("metrics", {})]
    return f"; `common: {having[0]}`, which this grid does not name, has one" if having else ""


def _metric(name: str, values: dict[str, Any], arms: Sequence[str]) -> tuple[Metric, Measure]:
    shown = {f.name for f in fields(Measure)} - {"name"}
    known = {f.name for f in fields(Metric)} | shown
    if unknown := [key for key in values if key not in known]:
        raise ValueError(f"unknown key {unknown[0]}{did_you_mean(unknown[0], sorted(known))}")
    paper = values.get("paper") or {}
    if other := [arm for arm in paper if arm not in arms]:
        raise ValueError(f"paper names {other[0]}, which is no arm{did_you_mean(other[0], list(arms))}")
    for arm, said in paper.items():
        if said not in (UP, DOWN) and (isinstance(said, str | bool) or not isinstance(said, int | float)):
            raise ValueError(f"paper.{arm}: {said!r} is neither a number, {UP} nor {DOWN}")
    measure = Measure(name=name, **{key: value for key, value in values.items() if key in shown})
    metric = Metric(**{key: value for key, value in values.items() if key not in shown})
    if bool(metric.task) == bool(metric.fact):
        raise ValueError("it needs a task of the evaluation, or a fact of the training, and not both")
    return metric, measure
