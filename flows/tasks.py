"""What the flows share: a Prefect task a stage, who is told of progress, and what a run leaves behind.

Prefect shows and schedules; storage is the truth. A task looks at storage, does what is missing, and says whether it
Computed, Resumed or Reused its stage.
"""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from flows import settings

settings.apply()

from prefect import flow as flow  # noqa: E402
from prefect import get_run_logger, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.settings import get_current_settings  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows import logs  # noqa: E402
from flows.config import compose_config  # noqa: E402
from flows.stages import CURATE, DISTILL, Choice, run_stage  # noqa: E402
from pipelines.support.runtime import Progress, Result  # noqa: E402
from siglino_core.config import Config, Runner, to_dict  # noqa: E402
from siglino_core.errors import ConfigError, DataError, SiglinoError, WorkerError  # noqa: E402
from siglino_core.store import Run  # noqa: E402

_listeners: list[Progress] = []  # who is told of progress in this process: the CLI's display, or nobody


def listen(progress: Progress) -> Callable[[], None]:
    """Tell ``progress`` of every unit of work that flows in this process finish; returns how to stop."""
    _listeners.append(progress)
    return lambda: _listeners.remove(progress)


def in_process(run_flow: Callable[..., Any], words: Sequence[str], **stages: Any) -> dict[str, Any]:
    """Run a flow in this process from the command line's words; ``stages``: from_stage, only, redo."""
    experiment = next((w.partition("=")[2] for w in words if w.startswith("experiment=")), "")
    rest = [w for w in words if not w.startswith("experiment=")]
    try:
        return run_flow(experiment=experiment, overrides=rest, **stages)
    except RuntimeError as e:
        if "ephemeral" not in str(e):
            raise
        raise WorkerError(
            "Prefect's embedded API did not start. If another version of Prefect has used this home, its database "
            f"({get_current_settings().home}/prefect.db) cannot be read by this one: set PREFECT_HOME to a new folder, "
            "or PREFECT_API_URL to a server. `prefect server start` says more."
        ) from e


def begin(
    command: str,
    experiment: str,
    run: str | None,
    overrides: Sequence[str] | None,
    check: Callable[[Config], None] = lambda config: None,
) -> Config:
    """The config that a flow's parameters ask for; the run keeps a note of it, for whoever finds the folder.

    Args:
        check: raises if the run cannot be; nothing is noted then.

    Raises:
        ConfigError: as `compose_config`.
    """
    logs.calm()
    named = [f"experiment={experiment}"] if experiment else []
    words = [*named, *([f'run="{run}"'] if run else []), *(overrides or [])]
    config = compose_config(words)
    check(config)
    typed = " ".join([f"siglino {command}", *(shlex.quote(w) for w in words)])
    Run(config.run).note({"experiment": experiment, "command": typed, "config": to_dict(config)}, command)
    return config


def perform(choice: Choice, config: Config) -> dict[str, Any]:
    """Run a chosen stage as a task of the flow around it; returns its outcome for the flow's result."""
    state = TASKS[choice.stage](config, choice.redo, return_state=True)
    result = state.result()
    _tell(choice.stage, 1, 1, _summary(result), state=result.state)
    m = result.manifest
    return {"state": result.state, "rows": m.rows, "digest": m.digest, "seconds": m.seconds, "rejects": m.rejects}


def publish(name: str, config: Config, done: dict[str, Any]) -> None:
    """The run's outcome as a Prefect artifact of the flow's name; it must never fail the run."""
    rows = [f"| {stage} | {o['state']} | {o['rows']:,} | {o['digest'][:12]} |" for stage, o in done.items()]
    table = "\n".join(["| stage | state | rows | digest |", "|---|---|---:|---|", *rows])
    try:
        create_markdown_artifact(key=name, markdown=f"Artifacts: `{config.run}`\n\n{table}")
    except SiglinoError:
        raise
    except Exception as e:
        get_run_logger().warning("the outcome could not be published to Prefect: %s", e)


def leave_ray(config: Config) -> None:
    """Let go of Ray, if the run used it."""
    if config.runtime.runner is Runner.RAY:
        import ray

        ray.shutdown()


def _retryable(_task: Any, _run: Any, state: State) -> bool:
    """A dead worker or an unreachable store may be better the second time; a wrong config or wrong data won't."""
    try:
        state.result()
    except (ConfigError, DataError):
        return False
    except Exception:
        return True
    return False


def _stage_task(name: str) -> Any:
    @task(
        name=name,
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=1,
        retry_condition_fn=_retryable,
        log_prints=False,
    )
    def stage(config: Config, redo: str) -> State:
        result = run_stage(name, config, _tell if _listeners else logs.ProgressLog(), redo)
        return Completed(name=result.state, message=_summary(result), data=result)

    return stage


TASKS = {name: _stage_task(name) for name in (*CURATE, *DISTILL)}


def _summary(result: Result) -> str:
    manifest = result.manifest
    bad = sum(manifest.rejects.values())
    return f"{manifest.rows:,} rows in {manifest.shards} shards" + (f", {bad:,} rejects" if bad else "")


def _tell(stage: str, done: int, total: int, note: str = "", *, state: str = "") -> None:
    for listener in _listeners:
        listener(stage, done, total, f"{state}\t{note}" if state else note)
