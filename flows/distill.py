"""The flow `distill-siglino`: targets -> train -> export, from a curated sample to a student; each a resumable task."""

from typing import Any

from flows import tasks
from flows.stages import DistillStage

NAME = "distill-siglino"


@tasks.flow(name=NAME, persist_result=False, log_prints=False)
def distill(
    experiment: str = "demo",
    run: str | None = None,
    overrides: list[str] | None = None,
    from_stage: DistillStage | None = None,
    only: DistillStage | None = None,
    redo: list[DistillStage] | None = None,
) -> dict[str, Any]:
    """Distil the teachers into one student, on the curated sample of a finished run.

    Args:
        experiment: a named config (see `siglino config`), or the path of a YAML file; empty: the defaults.
        run: folder or URL of the artifacts, with a finished sample; the experiment's own if left out.
        overrides: further settings as ``key=value``, e.g. ``train.optim.steps=500``.
        from_stage: start there; the stages before it must be finished.
        only: run this stage alone.
        redo: stages to make anew; those after them follow if what they stand on changed.
    """
    return tasks.perform(
        "distill",
        NAME,
        experiment=experiment,
        run=run,
        overrides=overrides,
        from_stage=from_stage,
        only=only,
        redo=redo,
    )
