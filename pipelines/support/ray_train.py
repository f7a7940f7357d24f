"""Training on Ray Train's workers: one rank each, begun anew from the newest checkpoint when one of them ends."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.support.runtime import Progress, gpus, raised, start_ray, worker_errors
from siglino_core import errors
from siglino_core.config import LoopConfig, RuntimeConfig
from siglino_core.device import Device
from siglino_core.distillation.training.checkpoints import Checkpoints
from siglino_core.distillation.training.loop import Tell
from siglino_core.errors import WARNING, SiglinoError, UnreachableStoreError, WorkerError
from siglino_core.store import Stage
from siglino_core.store.patience import Patience, be_patient

NETWORK = "AWS Error NETWORK_CONNECTION"  # in what pyarrow says, by which Ray Train reaches the store
SCRATCH = "ray/"  # what Ray Train leaves in the stage's folder: it has nothing of ours


class RunRank(Protocol):
    """Trains one rank to the end, as `siglino_core.distillation.training.rank.run_rank` does; it must pickle."""

    def __call__(self, device: Device, *, rank: int, world: int, tell: Tell, warn: Callable[[str], None]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training, as what starts its ranks must know it.

    Attributes:
        name: of its settings and of its stage, such as ``train``.
        stage: where checkpoints and the curve go.
        fingerprint: of the training.
        loop: its settings.
        packs: of a step, over all ranks.
    """

    name: str
    stage: Stage
    fingerprint: str
    loop: LoopConfig
    packs: int
    runtime: RuntimeConfig
    run_rank: RunRank


class ProgressActor:
    """An actor that ranks report to, and the driver reads: progress, warnings, and the first error of ours."""

    def __init__(self) -> None:
        self._news: list[tuple[int, int, str]] = []
        self._error: tuple[str, tuple[str, ...]] | None = None
        self._away = ""

    def report(self, step: int, steps: int, note: str) -> None:
        """A rank's progress: steps done, of how many, and a note."""
        if not note.startswith(WARNING):
            self._news = _warnings(self._news)  # of progress the newest alone
        self._news.append((step, steps, note))

    def forget(self) -> None:
        """Drop what ranks reported that are gone."""
        self._news, self._away = _warnings(self._news), ""

    def miss(self, text: str) -> None:
        """A rank's error of a store that does not answer."""
        self._away = self._away or text

    def away(self) -> str:
        """The first of these errors; empty: there is none."""
        return self._away

    def fail(self, kind: str, lines: tuple[str, ...]) -> None:
        """A rank's error: the name of its class and its lines; the first one is kept."""
        self._error = self._error or (kind, lines)

    def error(self) -> tuple[str, tuple[str, ...]] | None:
        """The first of these errors; none: there is none."""
        return self._error

    def news(self) -> list[tuple[int, int, str]]:
        """What ranks reported since this was asked last, in order: each warning, and the newest progress."""
        said, self._news = self._news, []
        return said


def _warnings(news: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    return [said for said in news if said[2].startswith(WARNING)]


def train_on_ray(training: Training, device: Device, progress: Progress) -> None:
    """Train on a group of workers; when one of them ends all begin anew, from the newest checkpoint.

    Raises:
        SiglinoError: a rank's error that would come again.
        WorkerError, UnreachableStoreError: a worker died, or the store was away, ``max_restarts`` times and once
            more without a new checkpoint in between.
    """
    ray = start_ray(training.runtime)
    actor = ray.remote(num_cpus=0)(ProgressActor).remote()
    newest, ends = _newest(training), 0
    while True:
        world = _ranks(training, device)
        with _watched(ray, actor, training.name, progress), worker_errors():
            failure = _fit(training, device, world, actor)
            if failure is None:
                return
            error, away = ray.get([actor.error.remote(), actor.away.remote()])
        if error is not None:
            kind, lines = error
            raise getattr(errors, kind)(*lines)
        before, newest = newest, _newest(training, newest)
        ends = 1 if newest > before else ends + 1
        away = away or (failure if NETWORK in failure else "")
        if ends > training.loop.max_restarts:
            raise _away(training, away, ends) if away else _died(training, failure, ends)
        ray.get(actor.forget.remote())
        why = "the store was away" if away else "a worker died"
        progress(
            training.name,
            newest,
            training.loop.optim.steps,
            f"{WARNING}{why}: from the newest checkpoint, on {_ranks(training, device)} ranks",
        )


def _newest(training: Training, known: int = 0) -> int:
    """The newest checkpoint's step, once the store answers; what is known of it, if it does not in time.

    Ray Train's own client of the store gives up within seconds: ranks that begin while it is away die at once.
    """
    seconds = training.loop.store_patience
    before = be_patient(Patience(known=seconds, stranger=seconds))
    try:
        kept = Checkpoints(training.stage.files.sub("checkpoints"), training.fingerprint).all()
    except UnreachableStoreError:
        return known
    finally:
        be_patient(before)
    return kept[-1].step if kept else 0


def _away(training: Training, why: str, ends: int) -> UnreachableStoreError:
    return UnreachableStoreError(
        f"{training.stage.files.url}: the store was away {ends} times without a new checkpoint in between (the last "
        f"time: {why}). The checkpoints stay: run the same command again when it answers."
    )


def _died(training: Training, why: str, ends: int) -> WorkerError:
    return WorkerError(
        f"{training.name}: workers died, or an error ended them, {ends} times without a new checkpoint in between (the "
        f"last time: {why}). The checkpoints stay: run the same command again. If they ran out of memory, lower "
        f"{training.name}.pack.capacity or set {training.name}.activation_checkpointing=true."
    )


def _fit(training: Training, device: Device, world: int, actor: Any) -> str | None:
    """Ray Train's part; what failed, if anything."""
    from ray.exceptions import ActorDiedError
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    on_gpu = device.device == "cuda"
    needs = {"CPU": 1.0, **({"GPU": 1.0} if on_gpu else {})}
    url = training.stage.files.url
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"training": training, "device": device, "actor": actor, "folder": os.getcwd()},
        scaling_config=ScalingConfig(num_workers=world, use_gpu=on_gpu, resources_per_worker=needs),
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        run_config=RunConfig(
            name=training.fingerprint,
            storage_path=f"{url if '://' in url else Path(url).absolute()}/{SCRATCH}",
            failure_config=FailureConfig(max_failures=0),  # ours: with errors of the user's there is nothing to retry
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as e:
        failures = [str(failure) for failure in getattr(e, "worker_failures", {}).values()] or [str(e)]
    except ActorDiedError as e:  # Ray Train's own process: it could not reach the store either
        failures = [str(e)]
    else:
        return None
    return "; ".join(dict.fromkeys(raised(text) or " ".join(text.split())[:300] for text in failures))


def _ranks(training: Training, device: Device) -> int:
    """How many ranks train: as configured, or one a GPU, as many of them as divide a step's packs."""
    packs = training.packs
    if training.loop.ranks:
        return training.loop.ranks
    free = gpus(training.runtime) if device.device == "cuda" else 1
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

    def warn(text: str) -> None:
        actor.report.remote(0, 0, WARNING + text)

    try:
        world = context.get_world_size()
        settings["training"].run_rank(settings["device"], rank=rank, world=world, tell=tell, warn=warn)
    except WorkerError:
        raise  # a loader of this rank was killed: a rank that dies with it is started again
    except UnreachableStoreError as e:  # as a dead worker's, it may not come again
        ray.get(actor.miss.remote(str(e)))
        raise
    except SiglinoError as e:
        ray.get(actor.fail.remote(type(e).__name__, e.args))
        raise


@contextmanager
def _watched(ray: Any, actor: Any, name: str, progress: Progress) -> Iterator[None]:
    """Pass on what ranks report, once a second."""
    done = threading.Event()

    def watch() -> None:
        last = False
        while not last:
            last = done.wait(1.0)  # once more after the end: what was said by then
            for said in ray.get(actor.news.remote()):
                progress(name, *said)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(5)
