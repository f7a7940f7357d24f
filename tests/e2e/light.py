"""`siglino run` without Prefect: the same command line, settings and stages, one after another, in half the time.

Storage is the truth, so what the whole-run tests ask (kills, workers, S3, damage) must hold without an orchestrator.
The runs of the README and of the deployment go through Prefect.
"""

import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from flows import cli
from flows.config import curate_config
from flows.stages import choose, run_stage
from pipelines.runtime import Progress, silent

_listeners: list[Progress] = []


def listen(progress: Progress) -> Callable[[], None]:
    _listeners.append(progress)
    return lambda: _listeners.remove(progress)


def curate_words(words: Sequence[str], *, from_stage: str | None, only: str | None, redo: list[str]) -> dict[str, Any]:
    """What `flows.curate.curate_words` does, less Prefect and the notes that it leaves."""
    config = curate_config(list(words))
    done: dict[str, Any] = {}
    for choice in choose(from_stage, only, redo):
        result = run_stage(choice.stage, config, silent, choice.redo)
        for tell in _listeners:
            tell(
                choice.stage, 1, 1, f"{result.state}\t{result.manifest.rows:,} rows in {result.manifest.shards} shards"
            )
        done[choice.stage] = {"state": result.state}
    return done


if __name__ == "__main__":
    stand_in = types.ModuleType("flows.curate")
    vars(stand_in).update(curate_words=curate_words, listen=listen)
    sys.modules["flows.curate"] = stand_in
    sys.exit(cli.main())
