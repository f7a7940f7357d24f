"""Training on Ray Train's workers: one rank each, begun anew from the newest checkpoint when one of them dies."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipelines.support.runtime import Progress, gpus, raised, start_ray, worker_errors
from siglino_core import errors
from siglino_core.config import Config
from siglino_core.device import Device
from siglino_core.distillation.training.checkpoints import LOG
from siglino_core.distillation.training.rank import Job, run_rank
from siglino_core.errors import SiglinoError, WorkerError

SCRATCH = "ray/"  # what Ray Train leaves in the stage's folder: it has nothing of ours


class ProgressActor:
    """An actor that ranks report to, and the driver reads: progress, warnings, and the first error of ours."""

    def __init__(self) -> None:
        self._progress: tuple[int, int, str] | None = None
        self._warnings: list[str] = []
        self._error: tuple[str, tuple[str, ...]] | None = None

    def report(self, step: int, steps: int, note: str) -> None:
        """A rank's progress: steps done, of how many, and a note."""
        self._progress = step, steps, note

    def warn(self, text: str) -> None:
        """A rank's warning; all are kept until they are fetched."""
        self._warnings.append(text)

    def warnings(self) -> list[str]:
        """The warnings that have not been fetched."""
        new, self._warnings = self._warnings, []
        return new

    def forget(self) -> None:
        """Drop what ranks reported that are gone."""
        self._progress = None

    def fail(self, kind: str, lines: tuple[str, ...]) -> None:
        """A rank's error: the name of its class and its lines; the first one is kept."""
        self._error = self._error or (kind, lines)

    def read(self) -> tuple[tuple[int, int, str] | None, tuple[str, tuple[str, ...]] | None]:
        """The newest progress and the first error."""
        return self._progress, self._error


def train_on_ray(job: Job, device: Device, progress: Progress) -> None:
    """Train on a group of workers; when one of them dies all begin anew, from the newest checkpoint."""
    ray = start_ray(job.config.runtime)
    actor = ray.remote(num_cpus=0)(ProgressActor).remote()
    train, failure = job.config.train, None
    for attempt in range(train.max_restarts + 1):
        world = _ranks(job.config, device)
        if attempt:
            ray.get(actor.forget.remote())
            progress("train", 0, train.optim.steps, f"a worker died: from the newest checkpoint, on {world} ranks")
        with _watched(ray, actor, progress), worker_errors():
            failure = _fit(job, device, world, actor)
        if failure is None:
            return
        _, error = ray.get(actor.read.remote())
        if error is not None:
            kind, lines = error
            raise getattr(errors, kind)(*lines)
    raise WorkerError(
        f"train: workers died, or an error ended them, {train.max_restarts + 1} times (the last time: {failure}). The "
        "checkpoints stay: run the same command again. If they ran out of memory, lower train.pack.capacity or set "
        "train.activation_checkpointing=true."
    )


def _fit(job: Job, device: Device, world: int, actor: Any) -> str | None:
    """Ray Train's part; what failed, if anything."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    on_gpu = device.device == "cuda"
    needs = {"CPU": 1.0, **({"GPU": 1.0} if on_gpu else {})}
    url = job.stage.files.url
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"job": job, "device": device, "actor": actor, "folder": os.getcwd()},
        scaling_config=ScalingConfig(num_workers=world, use_gpu=on_gpu, resources_per_worker=needs),
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        run_config=RunConfig(
            name=job.fingerprint,
            storage_path=f"{url if '://' in url else Path(url).absolute()}/{SCRATCH}",
            failure_config=FailureConfig(max_failures=0),  # ours: with errors of the user's there is nothing to retry
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as e:
        failures = [str(failure) for failure in getattr(e, "worker_failures", {}).values()] or [str(e)]
        return "; ".join(dict.fromkeys(raised(text) or " ".join(text.split())[:300] for text in failures))
    return None


def _ranks(config: Config, device: Device) -> int:
    """How many ranks train: as configured, or one a GPU, as many of them as divide a step's packs."""
    packs = config.train.pack.packs_per_step
    if config.train.ranks:
        return config.train.ranks
    free = gpus(config.runtime) if device.device == "cuda" else 1
    return next((w for w in range(min(free, packs), 0, -1) if packs % w == 0), 1)


def _worker(settings: dict[str, Any]) -> None:
    """On every rank, in a process of Ray's."""
    import ray
    from ray.train import get_context

    with suppress(OSError):  # relative paths are the driver's; Ray starts its workers elsewhere
        os.chdir(settings["folder"])
    context, actor = get_context(), settings["actor"]
    rank = context.get_world_rank()

    def tell(step: int, steps: int, note: str) -> None:
        actor.report.remote(step, steps, note)

    try:
        world = context.get_world_size()
        run_rank(settings["job"], settings["device"], rank=rank, world=world, tell=tell, warn=actor.warn.remote)
    except WorkerError:
        raise  # a loader of this rank was killed: a rank that dies with it is started again
    except SiglinoError as e:
        ray.get(actor.fail.remote(type(e).__name__, e.args))
        raise


@contextmanager
def _watched(ray: Any, actor: Any, progress: Progress) -> Iterator[None]:
    """Pass on what ranks report, once a second."""
    done = threading.Event()

    def watch() -> None:
        shown, last = None, False
        while not last:
            last = done.wait(1.0)
            for text in ray.get(actor.warnings.remote()):
                LOG.warning(text)
            newest, _ = ray.get(actor.read.remote())
            if newest is not None and newest != shown:
                progress("train", *newest)
                shown = newest

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(5)
