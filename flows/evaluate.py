"""The flow `evaluate-siglino`: features of networks, what they are worth, and how sure that is; a resumable task."""

from typing import Any

from flows import tasks
from flows.stages import EvaluateStage

NAME = "evaluate-siglino"


@tasks.flow(name=NAME, persist_result=False, log_prints=False)
def evaluate(
    experiment: str = "demo",
    run: str | None = None,
    overrides: list[str] | None = None,
    from_stage: EvaluateStage | None = None,
    only: EvaluateStage | None = None,
    redo: list[EvaluateStage] | None = None,
) -> dict[str, Any]:
    """Evaluate a run's student beside its teachers, or any networks on any data sets.

    Args:
        experiment: a named config (see `siglino config`), or the path of a YAML file; empty: the defaults.
        run: folder or URL of the artifacts; the experiment's own if left out.
        overrides: further settings as ``key=value``, e.g. ``evaluate.unread=wrong``.
        from_stage: start there; there is one stage.
        only: run this stage alone.
        redo: make it anew; features that were extracted stay.
    """
    return tasks.perform(
        "evaluate",
        NAME,
        experiment=experiment,
        run=run,
        overrides=overrides,
        from_stage=from_stage,
        only=only,
        redo=redo,
    )
