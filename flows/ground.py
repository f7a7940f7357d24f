"""The flow `ground-siglino`: expressions -> ground -> answers, from a student to boxes and masks for texts."""

from typing import Any

from flows import tasks
from flows.stages import GroundStage

NAME = "ground-siglino"


@tasks.flow(name=NAME, persist_result=False, log_prints=False)
def ground(
    experiment: str = "demo",
    run: str | None = None,
    overrides: list[str] | None = None,
    from_stage: GroundStage | None = None,
    only: GroundStage | None = None,
    redo: list[GroundStage] | None = None,
) -> dict[str, Any]:
    """Fine-tune a run's student on images with referring expressions, and judge its answers; each a resumable task.

    Args:
        experiment: a named config (see `siglino config`), or the path of a YAML file; empty: the defaults.
        run: folder or URL of the artifacts, with a finished export; the experiment's own if left out.
        overrides: further settings as ``key=value``, e.g. ``ground.optim.steps=2000``.
        from_stage: start there; the stages before it must be finished.
        only: run this stage alone.
        redo: stages to make anew; those after them follow if what they stand on changed.
    """
    return tasks.perform(
        "ground",
        NAME,
        experiment=experiment,
        run=run,
        overrides=overrides,
        from_stage=from_stage,
        only=only,
        redo=redo,
    )
