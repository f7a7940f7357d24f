"""The stages of the path in their order, which of them one invocation runs, and how they run without Prefect."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Literal, get_args

from flows.limits import refuse_too_small, require_made_by, require_sample, require_specs
from flows.preflight import preflight
from pipelines.support.inputs import forget
from pipelines.support.provenance import asked_for
from pipelines.support.runtime import Progress, Result
from siglino_core.config import Config, Runner, to_dict
from siglino_core.errors import ConfigError, DamagedError, DataError, StoreError
from siglino_core.foreign import logger, word
from siglino_core.report.opening import run_card, with_columns
from siglino_core.store import Files, Run
from siglino_core.store.lease import release_mine, require_free
from siglino_core.store.records import MANIFEST

LOG = logger(__name__)
CurateStage = Literal["source", "embed", "cluster", "sample", "report"]  # spelt out: Prefect's forms list the choices
DistillStage = Literal["targets", "train", "export"]
EvaluateStage = Literal["evaluate"]
GroundStage = Literal["expressions", "ground", "answers"]
PathStage = Literal[
    "source",
    "embed",
    "cluster",
    "sample",
    "report",
    "targets",
    "train",
    "export",
    "evaluate",
    "expressions",
    "ground",
    "answers",
]
CURATE: tuple[str, ...] = get_args(CurateStage)
DISTILL: tuple[str, ...] = get_args(DistillStage)
EVALUATE: tuple[str, ...] = get_args(EvaluateStage)
GROUND: tuple[str, ...] = get_args(GroundStage)
PATH: tuple[str, ...] = get_args(PathStage)
CARD = "README.md"
COMMANDS = {"curate": CURATE, "distill": DISTILL, "evaluate": EVALUATE, "ground": GROUND, "run": PATH}
NOTES = {"curate.json": CURATE, "distill.json": DISTILL, "evaluate.json": EVALUATE, "ground.json": GROUND}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A stage to run, and what to do with what is there: ``no``, ``stale`` or ``always`` (see `Stage.begin`)."""

    stage: str
    redo: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an invocation was asked for: the experiment's name, and the command as one may type it."""

    experiment: str
    command: str


def choose(command: str, from_stage: str | None, only: str | None, redo: Sequence[str]) -> list[Choice]:
    """Which of a command's stages one invocation runs.

    A stage named in ``redo`` is made anew; those after it are made anew if that changed what they stand on.

    Raises:
        ConfigError: an unknown stage, or one to redo that isn't among those to run.
    """
    names = list(COMMANDS[command])
    unknown = [s for s in (from_stage, only, *redo) if s is not None and s not in names]
    if unknown:
        raise ConfigError(
            f"no such stage: {', '.join(unknown)}. The stages are {', '.join(names)}.{_elsewhere(unknown)}"
        )
    if from_stage and only:
        raise ConfigError("from and only exclude each other")
    chosen = [only] if only else names[names.index(from_stage) if from_stage else 0 :]
    outside = [s for s in redo if s not in chosen]
    if outside:
        raise ConfigError(f"cannot redo {', '.join(outside)}: this invocation runs {', '.join(chosen)}")
    first = min((names.index(s) for s in redo), default=len(names))
    return [
        Choice(stage=s, redo="always" if s in redo else "stale" if names.index(s) > first else "no") for s in chosen
    ]


def configured(choices: Sequence[Choice], config: Config) -> list[Choice]:
    """The choices without those of grounding, where a whole path was asked for and nothing to ground on is set."""
    if config.expressions.train or all(choice.stage in GROUND for choice in choices):
        return list(choices)
    return [choice for choice in choices if choice.stage not in GROUND]


def begin(command: str, words: Sequence[str], config: Config, choices: Sequence[Choice]) -> Asked:
    """Refuse what cannot be, before anything is computed or written down.

    Args:
        words: as typed: settings as ``key=value``, ``experiment=NAME`` among them.

    Raises:
        ConfigError: a network cannot be had; the pool is too small, or the work too large for memory or a year; or a
            stage that is not to run was made by other settings.
        StoreError: the distillation is asked for, and there is no sample; or another process makes one of the stages.
    """
    stages = [choice.stage for choice in choices]
    forget()
    require_specs(config, stages)
    require_free(config.run.rstrip("/"), stages)
    if choices[0].stage in DISTILL:
        require_sample(config)
    require_made_by(config, stages)
    preflight(config, stages, [choice.stage for choice in choices if choice.redo == "always"])
    experiment = next((w.partition("=")[2] for w in words if w.startswith("experiment=")), "")
    return Asked(experiment=experiment, command=" ".join([f"siglino {command}", *map(word, words)]))


def judged(choices: Sequence[Choice], config: Config) -> Iterator[Choice]:
    """The choices in order, each judged when its turn comes: can the images that are counted by then give it?

    An evaluation that ends a path is left out, with a warning, where the run's images allow none.

    Raises:
        ConfigError: as `refuse_too_small`.
    """
    stages = [choice.stage for choice in choices]
    for choice in choices:
        source = Run(config.run).stage("source").manifest() if choice.stage in CURATE[1:] else None
        if source is not None:
            refuse_too_small(config, source.rows - source.facts["duplicates"], stages=stages)
        if choice.stage in EVALUATE and len(choices) > 1 and (why := _unmeasurable(config)):
            LOG.warning("not evaluated: %s", why)
            continue
        yield choice


def _unmeasurable(config: Config) -> str:
    """Why nothing can be measured on the run's own images, where no other data sets are set; empty: something can."""
    from siglino_core.evaluation.data.run import open_run

    if config.evaluate.datasets:
        return ""
    try:
        open_run(config.run)
    except DataError as e:
        return str(e)
    return ""


def run_stages(choices: Sequence[Choice], config: Config, asked: Asked, progress: Progress) -> dict[str, Any]:
    """Run the chosen stages in this process, without Prefect; each one's outcome."""
    done: dict[str, Any] = {}
    try:
        for choice in judged(choices, config):
            result = run_stage(choice, config, asked, progress)
            progress(choice.stage, 1, 1, f"{result.state}\t{summary(result)}")
            done[choice.stage] = outcome(result)
    finally:
        leave_ray(config)
    return done


def run_stage(choice: Choice, config: Config, asked: Asked, progress: Progress) -> Result:
    """Run one stage, and note what it was made by: when it begins for the first time, and when it is done."""
    stage = Run(config.run).stage(choice.stage)
    noted = False

    def tell(name: str, done: int, total: int, note: str = "") -> None:
        nonlocal noted
        if not noted:
            noted = True
            if stage.manifest() is None:  # else what stands was made by other settings
                _note(choice.stage, config, asked)
        progress(name, done, total, note)

    # A stage's module is imported when its turn comes: torch takes seconds, which a wrong word should not cost.
    module = import_module(f"pipelines.{choice.stage}")
    try:
        with asked_for(asdict(asked)) if choice.stage != "report" else nullcontext():
            result = module.run(config, Run(config.run), tell, redo=choice.redo)
    finally:
        release_mine()
    if result.state != "Reused" or not Run(config.run).noted(choice.stage):
        _note(choice.stage, config, asked)
    if choice.stage == "sample":
        _write_card(config)
    return result


def _write_card(config: Config) -> None:
    """Write the card of the run's folder, which has the columns of its images; its owner's words stay.

    It is a convenience: where it cannot be written, that is said, and the stage is done all the same.
    """
    files = Files(config.run)
    card = run_card(config.sample.shards, len(Run(config.run).stage("cluster").require().facts["levels"]))
    try:
        if files.create(CARD, card.encode()):
            return
        there = files.read(CARD).decode(errors="replace")
        mended = with_columns(there, card)
        if mended != there.replace("\r\n", "\n"):
            files.put(CARD, mended.encode())
    except StoreError as e:
        LOG.warning("the run's card was not written, so `datasets` may not open the run's folder: %s", e)


def _note(stage: str, config: Config, asked: Asked) -> None:
    """Write down in the run what made a stage, for whoever finds the folder: one of ``NOTES``.

    The note also has which stages came to be finished (``made``): one whose folder is lost leaves no other trace.
    """
    run, values = Run(config.run), to_dict(config)
    try:
        before = run.about(stage)
    except (DamagedError, ConfigError):
        before = {}
    shared = {key: values[key] for key in ("run", "seed", "runtime")}
    settings = {**before.get("config", values), **shared, stage: values[stage]}
    once = before.get("made", [])  # not there in notes of an earlier version
    neighbours = next(of for of in NOTES.values() if stage in of)
    made = [s for s in neighbours if s in once or run.stage(s).files.exists(MANIFEST)]
    run.note({**asdict(asked), "config": settings, "made": made}, stage)


def outcome(result: Result) -> dict[str, Any]:
    """What a flow's result says of a stage."""
    m = result.manifest
    return {"state": result.state, "rows": m.rows, "digest": m.digest, "seconds": m.seconds, "rejects": m.rejects}


def summary(result: Result) -> str:
    """What the display says of a stage that is done."""
    manifest = result.manifest
    said = f"{manifest.rows:,} rows in {manifest.shards} shards"
    for what, counts in (("rejects", manifest.rejects), ("passed over", manifest.facts.get("passed_over", {}))):
        if counts:
            said += f", {sum(counts.values()):,} {what} ({', '.join(f'{n:,} {why}' for why, n in counts.items())})"
    return said


def leave_ray(config: Config) -> None:
    """Let go of Ray, if the run used it."""
    if config.runtime.runner is Runner.RAY and (ray := sys.modules.get("ray")):
        ray.shutdown()


def _elsewhere(unknown: Sequence[str]) -> str:
    """Which command has the stages that this one has not."""
    names = [c for c, stages in COMMANDS.items() if set(unknown) <= set(stages)]
    return f" `siglino {names[0]}` has {', '.join(unknown)}." if names else ""
