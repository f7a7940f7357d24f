"""The stages of the path in their order, and which of them one invocation runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal, get_args

from pipelines.support.runtime import Progress, Result
from siglino_core.config import Config
from siglino_core.errors import ConfigError
from siglino_core.store import Run

CurateStage = Literal["source", "embed", "cluster", "sample", "report"]  # spelt out: Prefect's forms list the choices
DistillStage = Literal["targets", "train", "export"]
CURATE: tuple[str, ...] = get_args(CurateStage)
DISTILL: tuple[str, ...] = get_args(DistillStage)


def run_stage(name: str, config: Config, progress: Progress, redo: str) -> Result:
    """Run one stage. Its module is imported now: torch takes seconds, which a wrong word should not cost."""
    return import_module(f"pipelines.{name}").run(config, Run(config.run), progress, redo=redo)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A stage to run, and what to do with what is there: ``no``, ``stale`` or ``always`` (see `Stage.begin`)."""

    stage: str
    redo: str


def choose(stages: Sequence[str], from_stage: str | None, only: str | None, redo: Sequence[str]) -> list[Choice]:
    """Which of a flow's stages one invocation runs.

    A stage named in ``redo`` is made anew; those after it are made anew if that changed what they stand on.

    Args:
        stages: the flow's, in order: `CURATE` or `DISTILL`.

    Raises:
        ConfigError: an unknown stage, or one to redo that isn't among those to run.
    """
    names = list(stages)
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


def _elsewhere(unknown: Sequence[str]) -> str:
    """Which command has the stages that this one has not."""
    commands = {"siglino run": CURATE, "siglino distill": DISTILL}
    found = [c for c, stages in commands.items() if set(unknown) <= set(stages)]
    return f" `{found[0]}` has {', '.join(unknown)}." if found else ""
