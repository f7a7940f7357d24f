"""The flow `curate-openlvd`: source -> embed -> cluster -> sample -> report, each a task, each resumable.

Prefect shows and schedules; storage is the truth. A task looks at storage, does what is missing, and says whether it
Computed, Resumed or Reused its stage.
"""

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from flows import settings

settings.apply()

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.artifacts import create_markdown_artifact  # noqa: E402
from prefect.cache_policies import NO_CACHE  # noqa: E402
from prefect.client.schemas.objects import State  # noqa: E402
from prefect.settings import get_current_settings  # noqa: E402
from prefect.states import Completed  # noqa: E402

from flows import logs  # noqa: E402
from flows.config import curate_config  # noqa: E402
from flows.limits import refuse_too_small  # noqa: E402
from flows.stages import CURATE, Choice, StageName, choose, run_stage  # noqa: E402
from pipelines.runtime import Progress, Result  # noqa: E402
from siglino_core.config import Config, Runner, to_dict  # noqa: E402
from siglino_core.errors import ConfigError, DataError, SiglinoError, WorkerError  # noqa: E402
from siglino_core.store import Run  # noqa: E402

_listeners: list[Progress] = []  # who is told of progress in this process: the CLI's display, or nobody


def listen(progress: Progress) -> Callable[[], None]:
    """Tell ``progress`` of every unit of work that flows in this process finish; returns how to stop."""
    _listeners.append(progress)
    return lambda: _listeners.remove(progress)


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


TASKS = {name: _stage_task(name) for name in CURATE}


@flow(name="curate-openlvd", persist_result=False, log_prints=False)
def curate(
    experiment: str = "demo",
    run: str | None = None,
    overrides: list[str] | None = None,
    from_stage: StageName | None = None,
    only: StageName | None = None,
    redo: list[StageName] | None = None,
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
    logs.calm()
    words = [
        *([f"experiment={experiment}"] if experiment else []),
        *([f'run="{run}"'] if run else []),
        *(overrides or []),
    ]
    config = curate_config(words)
    _note(config, experiment, words)
    done: dict[str, Any] = {}
    try:
        choices = choose(from_stage, only, redo or [])
        for choice in choices:
            if choice.stage != "source":
                _refuse_too_small(config, [c.stage for c in choices])
            done[choice.stage] = _outcome(_submit(choice, config))
        _publish(config, done)
    finally:
        _leave_ray(config)
    return done


def curate_words(words: Sequence[str], **stages: Any) -> dict[str, Any]:
    """Run the flow in this process from the command line's words; ``stages``: from_stage, only, redo."""
    experiment = next((w.partition("=")[2] for w in words if w.startswith("experiment=")), "")
    rest = [w for w in words if not w.startswith("experiment=")]
    try:
        done: Any = curate(experiment=experiment, overrides=rest, **stages)
    except RuntimeError as e:
        if "ephemeral" not in str(e):
            raise
        raise WorkerError(
            "Prefect's embedded API did not start. If another version of Prefect has used this home, its database "
            f"({get_current_settings().home}/prefect.db) cannot be read by this one: set PREFECT_HOME to a new folder, "
            "or PREFECT_API_URL to a server. `prefect server start` says more."
        ) from e
    return done


def _note(config: Config, experiment: str, words: list[str]) -> None:
    """Leave in the run what was asked of it, for the report and for whoever finds the folder."""
    command = " ".join(["siglino run", *(shlex.quote(w) for w in words)])
    Run(config.run).note({"experiment": experiment, "command": command, "config": to_dict(config)})


def _refuse_too_small(config: Config, stages: Sequence[str]) -> None:
    """Once the pool's images are counted, refuse a target or clusters that it cannot give."""
    source = Run(config.run).stage("source").manifest()
    if source is not None:
        refuse_too_small(config, source.rows - source.facts["duplicates"], stages=stages)


def _submit(choice: Choice, config: Config) -> Result:
    state = TASKS[choice.stage](config, choice.redo, return_state=True)
    result = state.result()
    _tell(choice.stage, 1, 1, _summary(result), state=result.state)
    return result


def _outcome(result: Result) -> dict[str, Any]:
    m = result.manifest
    return {"state": result.state, "rows": m.rows, "digest": m.digest, "seconds": m.seconds, "rejects": m.rejects}


def _summary(result: Result) -> str:
    manifest = result.manifest
    bad = sum(manifest.rejects.values())
    return f"{manifest.rows:,} rows in {manifest.shards} shards" + (f", {bad:,} rejects" if bad else "")


def _tell(stage: str, done: int, total: int, note: str = "", *, state: str = "") -> None:
    for listener in _listeners:
        listener(stage, done, total, f"{state}\t{note}" if state else note)


def _publish(config: Config, done: dict[str, Any]) -> None:
    """The run's outcome as a Prefect artifact; it must never fail the run."""
    rows = [f"| {stage} | {o['state']} | {o['rows']:,} | {o['digest'][:12]} |" for stage, o in done.items()]
    table = "\n".join(["| stage | state | rows | digest |", "|---|---|---:|---|", *rows])
    try:
        create_markdown_artifact(key="curate-openlvd", markdown=f"Artifacts: `{config.run}`\n\n{table}")
    except SiglinoError:
        raise
    except Exception as e:
        get_run_logger().warning("the outcome could not be published to Prefect: %s", e)


def _leave_ray(config: Config) -> None:
    if config.runtime.runner is Runner.RAY:
        import ray

        ray.shutdown()
