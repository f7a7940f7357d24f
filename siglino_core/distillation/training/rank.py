"""One rank's training: from the last checkpoint to the last step.

Ranks are processes that hold the same plan and each its own packs. Nothing here knows who started them: a process group
is up if there are several.

Legend: B images, V packs of a step (virtual shards).
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from siglino_core.config import Config, Stored
from siglino_core.device import Device, single_thread
from siglino_core.distillation.curated.sets import CuratedSets
from siglino_core.distillation.optim import build, clip_grad_norm, lr_factor
from siglino_core.distillation.optim.ema import Ema
from siglino_core.distillation.packing import Cost, Cursor, Plan
from siglino_core.distillation.targets.statistics import Statistics, unpack
from siglino_core.distillation.targets.stored import StoredTargets
from siglino_core.distillation.training.anchor import Anchor, load_anchor
from siglino_core.distillation.training.checkpoints import LOG, Checkpoints, Kept, prime, state_of
from siglino_core.distillation.training.clusters import ClusterLoss
from siglino_core.distillation.training.metrics import JsonLines, Sink, Written, sinks
from siglino_core.distillation.training.mixture import mixture_of, plan_of, runs_of
from siglino_core.distillation.training.objective import Objective
from siglino_core.distillation.training.parallel import one_rank, parallelize
from siglino_core.distillation.training.passes import Passes
from siglino_core.distillation.training.reader import Batch, Images, batches, dead_loaders
from siglino_core.distillation.training.routes import Routes
from siglino_core.distillation.training.student import new_student
from siglino_core.encoders.card import Card
from siglino_core.errors import WARNING, DataError, SiglinoError
from siglino_core.models import SigLino, SigLinoConfig
from siglino_core.models.resolution import Resolution
from siglino_core.models.routing import Loads, rebalance
from siglino_core.models.size import forward_flops
from siglino_core.networks import load_teacher, same_teacher
from siglino_core.store import Run, Stage
from siglino_core.store.patience import Patience, be_patient
from siglino_core.teachers.teacher import Teacher

PEAK = {"NVIDIA A100": 312e12, "NVIDIA H100": 989e12, "NVIDIA H200": 989e12}  # dense bf16 FLOP/s


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every rank must know; it may be pickled.

    Attributes:
        config: of the whole run.
        stage: the training's, where checkpoints and the curve go.
        fingerprint: of the training.
        shape: the student's.
        config_json: the same as checkpoints keep it; made once, since transformers takes every rank seconds to import.
        cards: the teachers'.
        level: of the curation clusters whose losses are kept, from 1; 0: none.
        clusters: their number.
        cache: local folder for the images' index; empty: in memory.
    """

    config: Config
    stage: Stage
    fingerprint: str
    shape: SigLinoConfig
    config_json: dict[str, Any]
    cards: tuple[Card, ...]
    level: int
    clusters: int
    cache: str = ""


Tell = Callable[[int, int, str], None]  # step, steps, note, which may begin with WARNING


def run_rank(
    job: Job,
    device: Device,
    *,
    rank: int = 0,
    world: int = 1,
    tell: Tell | None = None,
    warn: Callable[[str], None] = LOG.warning,
) -> None:
    """Train to the end; the last checkpoint is then there.

    Args:
        warn: told, on rank 0, of checkpoints that are damaged and could be done without.

    Raises:
        SiglinoError: what is wrong with the data, the store or the config.
    """
    if device.device == "cpu":
        single_thread()  # a sum's order must not depend on the machine
    seconds = job.config.train.store_patience
    before = be_patient(Patience(known=seconds, stranger=seconds))
    try:
        with nullcontext() if device.dtype == torch.float32 else one_rank(device.device, world):
            _Rank(job, device, rank, world, tell or (lambda *_: None), warn).run()
    finally:
        be_patient(before)


class _Rank:
    def __init__(
        self, job: Job, device: Device, rank: int, world: int, tell: Tell, warn: Callable[[str], None]
    ) -> None:
        self.job, self.device, self.rank, self.world, self.tell = job, device, rank, world, tell
        self.config, self.train = job.config, job.config.train
        run = Run(job.config.run)
        self.files = job.stage.files
        group: Any = dist.new_group(backend="gloo") if world > 1 else None
        self.checkpoints = Checkpoints(
            self.files.sub("checkpoints"),
            job.fingerprint,
            last=self.train.keep_last,
            every=self.train.keep_every,
            rank=rank,
            group=group,
        )
        self.begin: Kept | None = self.checkpoints.newest(warn)
        self.step = self.begin.step if self.begin else 0
        if self.step >= self.train.optim.steps:
            return
        self.sets = CuratedSets.load(runs_of(self.config), Path(job.cache) if job.cache else None)
        cost = Cost.of(job.shape)
        self.plan = self._plan(cost)
        targets = run.stage("targets")
        statistics = Statistics.load(targets.files.read("statistics.safetensors"), f"{targets.files.url}/statistics")
        names = [card.name for card in job.cards]
        weights = dict(zip(names, self.train.loss.weights, strict=False))
        objective = Objective(config=self.train.loss, statistics=statistics, weights=weights)
        self.routes = Routes.of(self.config, names)
        self.routed = [name for name in names if self.routes.restricts(name)]
        anchor: Anchor | None = None
        if self.train.loss.gram > 0:
            anchor = load_anchor(self.train.loss.gram_checkpoint, job.shape, device=device.device, dtype=device.dtype)
        teachers: list[Teacher] = []
        stored = None
        if self.config.targets.keep is Stored.ONLINE:
            loaded = (load_teacher(spec, device.device, device.dtype) for spec in self.config.targets.teachers)
            teachers = [same_teacher(teacher, card) for teacher, card in zip(loaded, job.cards, strict=True)]
        else:
            t = self.config.targets
            resolution = Resolution(patch_size=job.shape.patch_size, min_pixels=t.min_pixels, max_pixels=t.max_pixels)
            digest = run.stage("sample").require().digest
            stored = StoredTargets.open(
                targets, self.sets.indexes[0], sample_digest=digest, cards=job.cards, resolution=resolution
            )
        self.images = Images(
            sets=self.sets,
            patch_size=job.shape.patch_size,
            stored=stored,
            flip_seed=self.config.seed if self.train.flip else None,
            drop_seed=self.config.seed if self.train.loss.drop else None,
            teachers=tuple(names),
        )
        heads = unpack(targets.files.read("heads.safetensors"), f"{targets.files.url}/heads.safetensors", depth=1)
        model = new_student(job.shape, seed=self.config.seed, heads=heads, checkpoint=self.train.checkpoint)
        self.model: SigLino = parallelize(
            model.train(),
            device=device.device,
            dtype=device.dtype,
            world=world,
            fsdp_size=self.train.fsdp_size,
            activation_checkpointing=self.train.activation_checkpointing,
            compiled=self.train.compile,
        )
        # Kernels are chosen and compiled for a length: on a GPU all passes have one.
        total = self.train.pack.capacity * self.train.packs_at_once if device.device == "cuda" else None
        self.passes = Passes(
            model=self.model,
            objective=objective,
            device=device.device,
            stored=stored,
            teachers=teachers,
            anchor=anchor,
            summarized=[card.name for card in job.cards if not (card.patches or card.registers)],
            packs=self.train.pack.packs_per_step,
            at_once=world * self.train.packs_at_once,
            world=world,
            total=total,
            routes=self.routes,
        )
        self.optimizers = build(self.model, self.train.optim)
        self.base_lr = [[g["lr"] for g in o.param_groups] for o in self.optimizers]
        self.ema = Ema(self.model, self.train.optim.ema) if self.train.optim.ema is not None else None
        self.clusters = ClusterLoss(job.clusters, self.train.optim.steps)
        self.bad = 0
        prime(self.optimizers)
        if self.begin is not None:
            self.checkpoints.restore(self._state(), self.begin.name)
            self.bad = self.begin.about["bad_steps"]
            if self.ema is not None:
                self.ema.updates = self.begin.about["ema_updates"]

    def run(self) -> None:
        steps = self.train.optim.steps
        if self.step >= steps:
            return
        written = self.begin.about["metrics"] if self.begin is not None else None
        log = JsonLines(self.files, self.step, written) if self.rank == 0 else None
        others = sinks(self.files, self.step, self.train.trackers) if self.rank == 0 else []
        reading = batches(
            self.images,
            self.plan,
            start=self.step,
            stop=steps,
            rank=self.rank,
            world=self.world,
            at_once=self.train.packs_at_once,
            workers=self.train.num_workers,
            together=max(map(len, self.passes.rounds)),
            pin=self.device.device == "cuda",
        )
        try:
            with dead_loaders():
                for step in range(self.step, steps):
                    numbers, seen = self._one_step(step, reading)
                    self._say(step, numbers, log, others)
                    self._guard(step, seen)
                    self.checkpoints.poll()
                    if (step + 1) % self.train.checkpoint_steps == 0 or step + 1 == steps:
                        self._save(step + 1, log.flush() if log is not None else None)
        except SiglinoError:
            with suppress(Exception):  # the checkpoint that was being written is good; what failed is said
                self.checkpoints.finish()
            raise
        self.checkpoints.finish()
        if self.world > 1:
            dist.barrier()  # the last checkpoint is marked before any rank says that it is done
        for sink in [log, *others] if log is not None else []:
            sink.close()

    def _one_step(self, step: int, reading: Iterator[Batch]) -> tuple[dict[str, float], list[Batch]]:
        began = time.perf_counter()
        factor = lr_factor(step, self.train.optim)
        for optimizer, rates in zip(self.optimizers, self.base_lr, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            optimizer.zero_grad()
        taught_V = {name: self.routes.images(name, self.plan, step) for name in self.routed}
        done = self.passes(reading, self.plan.sums(step)[2].tolist(), taught_V)
        norm = clip_grad_norm(self.model.parameters(), self.train.optim.clip)
        numbers = self._gathered(done.terms)
        untaught = {name for name, images in done.taught.items() if not images}  # of which there is nothing to say
        numbers = {name: value for name, value in numbers.items() if name.partition(".")[0] not in untaught}
        numbers["grad_norm"] = float(norm)
        good = math.isfinite(numbers["loss"]) and math.isfinite(numbers["grad_norm"])
        if good:
            for optimizer in self.optimizers:
                optimizer.step()
            for batch, errors_B in done.seen:
                self.clusters.add(step, self._clusters_of(batch), errors_B)
        loads = rebalance(self.model, self.train.balance if good else 0.0)
        if good and self.ema is not None:
            self.ema.update(self.model)
        self.bad = 0 if good else self.bad + 1
        seconds = time.perf_counter() - began
        rates = self._rates(step, seconds, done.waited, factor)
        return numbers | _loads(loads) | rates | {"bad_steps": self.bad}, [batch for batch, _ in done.seen]

    def _clusters_of(self, batch: Batch) -> Any:
        return self.sets.clusters(self.job.level, batch.rows_B)

    def _gathered(self, terms: dict[str, Tensor]) -> dict[str, float]:
        """Every term of all ranks: the mean of their parts."""
        values = torch.stack([t.float() for t in terms.values()])
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        means = dict(zip(terms, values.tolist(), strict=True))
        shares = tuple(f".{kind}" for kind in self.passes.objective.explains)
        explained = {f"{k}_explained": 1 - v for k, v in means.items() if k.endswith(shares)}
        return means | explained

    def _guard(self, step: int, seen: list[Batch]) -> None:
        """A step that is not finite changes nothing; too many of them in a row end the training."""
        if self.bad >= self.train.max_bad_steps:
            ids = [i for batch in seen for i in self.sets.image_ids(batch.rows_B)]
            raise DataError(
                f"train: {self.bad} steps in a row had a loss or gradient that is not finite, the last one step {step} "
                f"with images {', '.join(ids[:8])}{' ...' if len(ids) > 8 else ''} on rank {self.rank}. Lower "
                f"train.optim.lr={self.train.optim.lr}, or lengthen train.optim.warmup_steps; the checkpoints before "
                "it stay."
            )

    def _rates(self, step: int, seconds: float, waited: float, factor: float) -> dict[str, float]:
        tokens_V, _, images_V = self.plan.sums(step)
        packs = len(tokens_V)
        rates = {
            "lr": self.train.optim.lr * factor,
            "images": float(images_V.sum()),
            "tokens": float(tokens_V.sum()),
            "padding": 1 - float(tokens_V.sum()) / (packs * self.plan.config.capacity),
            "tokens_per_second": float(tokens_V.sum()) / seconds,
            "step_seconds": seconds,
            "data_wait": waited / seconds,
        }
        peak = next((v for k, v in PEAK.items() if k in self.device.reason), None)
        if peak:
            mean = float(tokens_V.sum()) / max(1.0, float(images_V.sum()))
            flops = 3 * forward_flops(self.job.shape, round(mean)) * float(images_V.sum())
            rates["mfu"] = flops / seconds / self.world / peak
        return rates

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
        self.tell(step + 1, self.train.optim.steps, note)

    def _save(self, step: int, metrics: Written | None) -> None:
        self.clusters.gather("cuda" if self.device.device == "cuda" else "cpu")
        cursor = self.plan.cursor(step)
        about = {
            "step": step,
            "cursor": asdict(cursor),
            "bad_steps": self.bad,
            "ema_updates": self.ema.updates if self.ema else 0,
            "ranks": self.world,
            "metrics": metrics,
        }
        self.checkpoints.save(self._state(), self.job.config_json, about)

    def _state(self) -> dict[str, Tensor]:
        state = state_of(self.model, self.optimizers, self.ema)
        return {**state, "clusters": self.clusters.total}

    def _plan(self, cost: Cost) -> Plan:
        mixture = mixture_of(self.config, self.sets, self.job.shape.patch_size)
        cursor = Cursor(**self.begin.about["cursor"]) if self.begin is not None else None
        return plan_of(self.config, mixture, prefix=self.job.shape.prefix, cost=cost, cursor=cursor)


def _loads(loads: Loads | None) -> dict[str, float]:
    if loads is None:
        return {}
    return {"expert_max_over_mean": max(loads.max_over_mean()), "expert_entropy": min(loads.entropy())}
