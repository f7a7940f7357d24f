"""`siglino run` and `siglino distill` without Prefect: the same words and stages, one after another, in half the time.

Storage is the truth, so what the whole-run tests ask (kills, workers, S3, damage) must hold without an orchestrator.
The runs of the README and of the deployment go through Prefect.
"""

import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from flows import cli
from flows.config import compose_config
from flows.stages import CURATE, DISTILL, choose, run_stage
from pipelines.support.runtime import Progress, silent

_listeners: list[Progress] = []


def listen(progress: Progress) -> Callable[[], None]:
    _listeners.append(progress)
    return lambda: _listeners.remove(progress)


def in_process(
    stages: Sequence[str], words: Sequence[str], *, from_stage: str | None, only: str | None, redo: list[str]
) -> dict[str, Any]:
    """What `flows.tasks.in_process` does, less Prefect and the notes that the flows leave; a flow is its stages."""
    config = compose_config(list(words))
    done: dict[str, Any] = {}
    for choice in choose(stages, from_stage, only, redo):
        result = run_stage(choice.stage, config, silent, choice.redo)
        for tell in _listeners:
            tell(
                choice.stage, 1, 1, f"{result.state}\t{result.manifest.rows:,} rows in {result.manifest.shards} shards"
            )
        done[choice.stage] = {"state": result.state}
    return done


STAND_INS = {
    "flows.tasks": {"in_process": in_process, "listen": listen},
    "flows.curate": {"curate": CURATE},
    "flows.distill": {"distill": DISTILL},
}

if __name__ == "__main__":
    for name, held in STAND_INS.items():
        stand_in = types.ModuleType(name)
        vars(stand_in).update(held)
        sys.modules[name] = stand_in
    sys.exit(cli.main())
