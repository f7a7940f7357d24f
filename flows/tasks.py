"""What the flows share: a Prefect task a stage, who is told of progress, and the outcome as a Prefect artifact.

Prefect shows and schedules; storage is the truth. A task looks at storage, does what is missing, and says whether it
Computed, Resumed or Reused its stage.
"""

from collections.abc import Callable, Sequence
from typing import Any

from flows import guard, settings
from flows.prefect_api import api_url

settings.apply()
if api_url() is None:  # Prefect brings up a server of its own, which would outlive a killed process for ever
    guard.start(only="prefect.server.api.server")

from prefect import flow as flow  # noqa: E402
from prefect import get_run_logger, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows import logs  # noqa: E402
from flows.config import compose_config, quoted  # noqa: E402
from flows.stages import (  # noqa: E402
    PATH,
    Asked,
    Choice,
    begin,
    choose,
    configured,
    judged,
    leave_ray,
    outcome,
    run_stage,
    summary,
)
from pipelines.support.runtime import Progress  # noqa: E402
from siglino_core.config import Config  # noqa: E402
from siglino_core.errors import ConfigError, DataError, SiglinoError  # noqa: E402
from siglino_core.report.cards import code  # noqa: E402

_listeners: list[Progress] = []  # who is told of progress in this process: the CLI's display, or nobody


def listen(progress: Progress) -> Callable[[], None]:
    """Tell ``progress`` of every unit of work that flows in this process finish; returns how to stop."""
    _listeners.append(progress)
    return lambda: _listeners.remove(progress)


def perform(
    command: str,
    name: str,
    *,
    experiment: str,
    run: str | None,
    overrides: Sequence[str] | None,
    from_stage: str | None,
    only: str | None,
    redo: Sequence[str] | None,
) -> dict[str, Any]:
    """The body of every flow: the command's stages, each a task; returns each one's outcome.

    Args:
        command: whose stages they are: curate, distill, evaluate, ground or run.
        name: the flow's, which the artifact has too.
    """
    logs.calm()
    words = [f"experiment={experiment}"] if experiment else []
    words += [*([f"run={quoted(run)}"] if run else []), *(overrides or [])]
    config = compose_config(words, redo or [])
    choices = configured(choose(command, from_stage, only, redo or []), config)
    asked = begin(command, words, config, choices)
    done: dict[str, Any] = {}
    try:
        for choice in judged(choices, config):
            state = TASKS[choice.stage](config, choice, asked, return_state=True)
            result = state.result()
            _tell(choice.stage, 1, 1, f"{result.state}\t{summary(result)}")
            done[choice.stage] = outcome(result)
        _publish(name, config, done)
    finally:
        leave_ray(config)
    return done


def _publish(name: str, config: Config, done: dict[str, Any]) -> None:
    """The run's outcome as a Prefect artifact of the flow's name; it must never fail the run."""
    rows = [f"| {stage} | {o['state']} | {o['rows']:,} | {o['digest'][:12]} |" for stage, o in done.items()]
    table = "\n".join(["| stage | state | rows | digest |", "|---|---|---:|---|", *rows])
    try:
        create_markdown_artifact(key=name, markdown=f"Artifacts: `{code(config.run)}`\n\n{table}")
    except SiglinoError:
        raise
    except Exception as e:
        get_run_logger().warning("the outcome could not be published to Prefect: %s", e)


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
    def stage(config: Config, choice: Choice, asked: Asked) -> State:
        progress = _tell if _listeners else logs.ProgressLog()
        result = run_stage(choice, config, asked, progress)
        return Completed(name=result.state, message=summary(result), data=result)

    return stage


TASKS = {name: _stage_task(name) for name in PATH}


def _tell(stage: str, done: int, total: int, note: str = "") -> None:
    for listener in _listeners:
        listener(stage, done, total, note)
