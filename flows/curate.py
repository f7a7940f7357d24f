"""The flow `curate-openlvd`: source -> embed -> cluster -> sample -> report, each a task, each resumable."""

from typing import Any

from flows import tasks
from flows.stages import CurateStage

NAME = "curate-openlvd"


@tasks.flow(name=NAME, persist_result=False, log_prints=False)
def curate(
    experiment: str = "demo",
    run: str | None = None,
    overrides: list[str] | None = None,
    from_stage: CurateStage | None = None,
    only: CurateStage | None = None,
    redo: list[CurateStage] | None = None,
) -> dict[str, Any]:
    """Curate an image pool into a set that represents it.

    Args:
        experiment: a named config (see `siglino config`), or the path of a YAML file; empty: the defaults.
        run: folder or URL of the artifacts; the experiment's own if left out.
        overrides: further settings as ``key=value``, e.g. ``sample.target_size=500``.
        from_stage: start there; the stages before it must be finished.
        only: run this stage alone.
        redo: stages to make anew; those after them follow if what they stand on changed.
    """
    return tasks.perform(
        "curate",
        NAME,
        experiment=experiment,
        run=run,
        overrides=overrides,
        from_stage=from_stage,
        only=only,
        redo=redo,
    )
