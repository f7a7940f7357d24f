"""A training's loop on one rank: from the last checkpoint to the last step, whatever is trained.

A *task* knows the model, its data and its losses. The loop knows learning rates, optimisers, the average of the
weights, steps that are not finite, checkpoints and the curve.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from siglino_core.config import LoopConfig
from siglino_core.device import Device, single_thread
from siglino_core.distillation.optim import build, clip_grad_norm, lr_factor
from siglino_core.distillation.optim.ema import Ema
from siglino_core.distillation.training.checkpoints import LOG, Checkpoints, Kept, prime, state_of
from siglino_core.distillation.training.metrics import JsonLines, Sink, Written, sinks
from siglino_core.distillation.training.parallel import one_rank
from siglino_core.distillation.training.reader import dead_loaders
from siglino_core.errors import WARNING, DataError, SiglinoError
from siglino_core.models.routing import Loads, rebalance
from siglino_core.store import Files
from siglino_core.store.patience import Patience, be_patient

Tell = Callable[[int, int, str], None]  # step, steps, note, which may begin with WARNING


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Where a rank stands among those that train together."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a loop says while it trains: progress, and what is damaged and could be done without."""

    tell: Tell = lambda *_: None
    warn: Callable[[str], None] = LOG.warning


@dataclass(frozen=True, kw_only=True)
class Passed:
    """What a step's forward and backward passes came to.

    Attributes:
        numbers: means over all ranks; ``loss`` is among them.
        waited: seconds for which data was waited for.
        seen: the task's own, of this rank.
    """

    numbers: dict[str, float]
    waited: float
    seen: Any


class Task(Protocol):
    """What is trained, on what.

    Attributes:
        name: of the stage and of its settings, for messages.
        config_json: the model's shape, as checkpoints keep it.
    """

    name: str
    config_json: dict[str, Any]

    @property
    def model(self) -> nn.Module:
        """In training, on its device, sharded if it is to be."""
        ...

    def lr_share(self, name: str) -> float:
        """The learning rate of a parameter, as a share of the setting."""
        ...

    def begin(self, start: int, stop: int) -> None:
        """Make ready for the steps from ``start`` to before ``stop``."""
        ...

    def gradients(self, step: int) -> Passed:
        """Add a step's gradients to those that the parameters have."""
        ...

    def learnt(self, step: int, passed: Passed) -> None:
        """A step was applied."""
        ...

    def rates(self, step: int, seconds: float) -> dict[str, float]:
        """How much a step was, and how fast: ``tokens_per_second`` is among it."""
        ...

    def images(self, passed: Passed) -> Sequence[str]:
        """The ids of a step's images on this rank."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What checkpoints keep beside the model and its optimisers."""
        ...

    def about(self, step: int) -> dict[str, Any]:
        """What a checkpoint's mark says of the place in the data; all ranks call it."""
        ...


@contextmanager
def ready(config: LoopConfig, device: Device, ranks: Ranks) -> Iterator[None]:
    """This process made ready to train: its threads, its patience with stores, its process group."""
    if device.device == "cpu":
        single_thread()  # a sum's order must not depend on the machine
    before = be_patient(Patience(known=config.store_patience, stranger=config.store_patience))
    try:
        with nullcontext() if device.dtype == torch.float32 else one_rank(device.device, ranks.world):
            yield
    finally:
        be_patient(before)


class Loop:
    """Trains to the last step, while the process is `ready`.

    Args:
        files: the stage's folder, where checkpoints and the curve go.
        fingerprint: of the training.
    """

    def __init__(self, files: Files, fingerprint: str, config: LoopConfig, ranks: Ranks, told: Told) -> None:
        self.files, self.config, self.ranks, self.told = files, config, ranks, told
        group: Any = dist.new_group(backend="gloo") if ranks.world > 1 else None
        self.checkpoints = Checkpoints(
            files.sub("checkpoints"),
            fingerprint,
            last=config.keep_last,
            every=config.keep_every,
            rank=ranks.rank,
            group=group,
        )

    def run(self, make: Callable[[Kept | None], Task]) -> None:
        """Train to the end; the last checkpoint is then there.

        Args:
            make: what is trained, given the checkpoint to go on from; not called where nothing is left to do.

        Raises:
            SiglinoError: what is wrong with the data, the store or the config.
        """
        begin, steps, first = self.checkpoints.newest(self.told.warn), self.config.optim.steps, self.ranks.rank == 0
        if begin is not None and begin.step >= steps:
            return
        self._start(make(begin), begin)
        log = JsonLines(self.files, self.step, self.written) if first else None
        others = sinks(self.files, self.step, self.config.trackers) if first else []
        self.task.begin(self.step, steps)
        try:
            with dead_loaders():
                for step in range(self.step, steps):
                    numbers, passed = self._one_step(step)
                    self._say(step, numbers, log, others)
                    self._guard(step, passed)
                    self.checkpoints.poll()
                    if (step + 1) % self.config.checkpoint_steps == 0 or step + 1 == steps:
                        self._save(step + 1, log.flush() if log is not None else None)
        except SiglinoError:
            with suppress(Exception):  # the checkpoint that was being written is good; what failed is said
                self.checkpoints.finish()
            raise
        self.checkpoints.finish()
        if self.ranks.world > 1:
            dist.barrier()  # the last checkpoint is marked before any rank says that it is done
        for sink in [log, *others] if log is not None else []:
            sink.close()

    def _start(self, task: Task, begin: Kept | None) -> None:
        """Optimisers and their state: as they begin, or from the checkpoint."""
        self.task, self.model = task, task.model
        self.optimizers = build(self.model, self.config.optim, task.lr_share)
        self.base_lr = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.ema = Ema(self.model, self.config.optim.ema) if self.config.optim.ema is not None else None
        self.step, self.bad = 0, 0
        self.written: Written | None = None
        prime(self.optimizers)
        if begin is not None:
            self.checkpoints.restore(self._state(), begin.name)
            self.step, self.bad, self.written = begin.step, begin.about["bad_steps"], begin.about["metrics"]
            if self.ema is not None:
                self.ema.updates = begin.about["ema_updates"]

    def _one_step(self, step: int) -> tuple[dict[str, float], Passed]:
        began = time.perf_counter()
        factor = lr_factor(step, self.config.optim)
        for optimizer, rates in zip(self.optimizers, self.base_lr, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.zero_grad()
        passed = self.task.gradients(step)
        norm = float(clip_grad_norm(self.model.parameters(), self.config.optim.clip))
        numbers = {**passed.numbers, "grad_norm": norm}
        good = math.isfinite(numbers["loss"]) and math.isfinite(norm)
        if good:
            for optimizer in self.optimizers:
                optimizer.step()
            self.task.learnt(step, passed)
        loads = rebalance(self.model, self.config.balance if good else 0.0)
        if good and self.ema is not None:
            self.ema.update(self.model)
        self.bad = 0 if good else self.bad + 1
        seconds = time.perf_counter() - began
        pace = {"step_seconds": seconds, "data_wait": passed.waited / seconds, "bad_steps": self.bad}
        rates = {"lr": self.config.optim.lr * factor, **self.task.rates(step, seconds)}
        return numbers | _loads(loads) | rates | pace, passed

    def _guard(self, step: int, passed: Passed) -> None:
        """A step that is not finite changes nothing; too many of them in a row end the training."""
        if self.bad >= self.config.max_bad_steps:
            ids, name = self.task.images(passed), self.task.name
            raise DataError(
                f"{name}: {self.bad} steps in a row had a loss or gradient that is not finite, the last one step "
                f"{step} with images {', '.join(ids[:8])}{' ...' if len(ids) > 8 else ''} on rank {self.ranks.rank}. "
                f"Lower {name}.optim.lr={self.config.optim.lr}, or lengthen {name}.optim.warmup_steps; the checkpoints "
                "before it stay."
            )

    def _say(self, step: int, numbers: dict[str, float], log: JsonLines | None, others: list[Sink]) -> None:
        if log is None:
            return
        log(step, numbers)
        for sink in others:
            sink(step, numbers)
        if self.bad:
            note = f"{WARNING}step {step + 1}: the loss is not finite ({self.bad} in a row), step left out"
        else:
            note = (
                f"loss {numbers['loss']:.3f}, {numbers['tokens_per_second']:,.0f} tokens/s, "
                f"{numbers['data_wait']:.0%} of the time waiting for data"
            )
        self.told.tell(step + 1, self.config.optim.steps, note)

    def _save(self, step: int, metrics: Written | None) -> None:
        about = {
            "step": step,
            **self.task.about(step),
            "bad_steps": self.bad,
            "ema_updates": self.ema.updates if self.ema else 0,
            "ranks": self.ranks.world,
            "metrics": metrics,
        }
        self.checkpoints.save(self._state(), self.task.config_json, about)

    def _state(self) -> dict[str, Tensor]:
        return {**state_of(self.model, self.optimizers, self.ema), **self.task.state()}


def _loads(loads: Loads | None) -> dict[str, float]:
    if loads is None:
        return {}
    return {"expert_max_over_mean": max(loads.max_over_mean()), "expert_entropy": min(loads.entropy(), default=1.0)}
