"""The flow `curate-openlvd`: source -> embed -> cluster -> sample -> report, each a task, each resumable."""

from collections.abc import Sequence
from typing import Any

from flows import tasks
from flows.limits import refuse_too_small
from flows.stages import CURATE, CurateStage, choose
from siglino_core.config import Config
from siglino_core.store import Run

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
    """Curate an image pool into a balanced set.

    Args:
        experiment: a named config (see `siglino config`), or the path of a YAML file; empty: the defaults.
        run: folder or URL of the artifacts; the experiment's own if left out.
        overrides: further settings as ``key=value``, e.g. ``sample.target_size=500``.
        from_stage: start there; the stages before it must be finished.
        only: run this stage alone.
        redo: stages to make anew; those after them follow if what they stand on changed.
    """
    config = tasks.begin("run", experiment, run, overrides)
    done: dict[str, Any] = {}
    try:
        choices = choose(CURATE, from_stage, only, redo or [])
        for choice in choices:
            if choice.stage != "source":
                _refuse_too_small(config, [c.stage for c in choices])
            done[choice.stage] = tasks.perform(choice, config)
        tasks.publish(NAME, config, done)
    finally:
        tasks.leave_ray(config)
    return done


def _refuse_too_small(config: Config, stages: Sequence[str]) -> None:
    """Once the pool's images are counted, refuse a target or clusters that it cannot give."""
    source = Run(config.run).stage("source").manifest()
    if source is not None:
        refuse_too_small(config, source.rows - source.facts["duplicates"], stages=stages)
