"""The flow `run-siglino`: the whole path, from a pool to a student, its evaluation and grounding."""

from typing import Any

from flows import tasks
from flows.stages import PathStage

NAME = "run-siglino"


@tasks.flow(name=NAME, persist_result=False, log_prints=False)
def run_path(
    experiment: str = "demo",
    run: str | None = None,
    overrides: list[str] | None = None,
    from_stage: PathStage | None = None,
    only: PathStage | None = None,
    redo: list[PathStage] | None = None,
) -> dict[str, Any]:
    """Curate an image pool, distil the teachers into one student on what was kept, and evaluate it beside them.

    It ends with grounding where `expressions.train` names images to ground on.

    Args:
        experiment: a named config (see `siglino config`), or the path of a YAML file; empty: the defaults.
        run: folder or URL of the artifacts; the experiment's own if left out.
        overrides: further settings as ``key=value``, e.g. ``sample.target_size=500``.
        from_stage: start there; the stages before it must be finished.
        only: run this stage alone.
        redo: stages to make anew; those after them follow if what they stand on changed.
    """
    return tasks.perform(
        "run",
        NAME,
        experiment=experiment,
        run=run,
        overrides=overrides,
        from_stage=from_stage,
        only=only,
        redo=redo,
    )
