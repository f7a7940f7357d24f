"""One rank's distillation: the student, the teachers' targets and the plan, for the loop that trains.

Ranks are processes that hold the same plan and each its own packs. Nothing here knows who started them: a process group
is up if there are several.

Legend: B images, V packs of a step (virtual shards).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from siglino_core.config import Config, Stored
from siglino_core.device import Device
from siglino_core.distillation.curated.sets import CuratedSets
from siglino_core.distillation.packing import Cost, Cursor, Plan
from siglino_core.distillation.targets.statistics import Statistics, unpack
from siglino_core.distillation.targets.stored import StoredTargets
from siglino_core.distillation.training.anchor import load_anchor
from siglino_core.distillation.training.checkpoints import LOG, Kept
from siglino_core.distillation.training.clusters import ClusterLoss
from siglino_core.distillation.training.loop import Loop, Passed, Ranks, Tell, Told, ready
from siglino_core.distillation.training.mixture import mixture_of, plan_of, runs_of
from siglino_core.distillation.training.objective import Objective
from siglino_core.distillation.training.parallel import mean_over_ranks, parallelize
from siglino_core.distillation.training.passes import Passes
from siglino_core.distillation.training.reader import Batch, Images, batches
from siglino_core.distillation.training.routes import Routes
from siglino_core.distillation.training.student import new_student
from siglino_core.encoders.card import Card
from siglino_core.models import SigLino, SigLinoConfig
from siglino_core.models.resolution import Resolution
from siglino_core.models.size import forward_flops
from siglino_core.networks import load_teacher, same_teacher
from siglino_core.store import Run, Stage
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
    ranks, train = Ranks(rank=rank, world=world), job.config.train
    told = Told(tell=tell or (lambda *_: None), warn=warn)
    with ready(train, device, ranks):
        loop = Loop(job.stage.files, job.fingerprint, train, ranks, told)
        loop.run(lambda begin: Distillation(job, device, ranks, begin))


class Distillation:
    """A student that learns from its teachers, as `siglino_core.distillation.training.loop` trains it."""

    name = "train"

    def __init__(self, job: Job, device: Device, ranks: Ranks, begin: Kept | None) -> None:
        self.job, self.device, self.ranks = job, device, ranks
        self.config, self.train, self.config_json = job.config, job.config.train, job.config_json
        self.sets = CuratedSets.load(runs_of(self.config), Path(job.cache) if job.cache else None)
        self.plan = self._plan(begin)
        names = [card.name for card in job.cards]
        self.routes = Routes.of(self.config, names)
        self.routed = [name for name in names if self.routes.restricts(name)]
        targets = Run(self.config.run).stage("targets")
        teachers, stored = self._taught(targets)
        self._images = Images(
            sets=self.sets,
            patch_size=job.shape.patch_size,
            stored=stored,
            flip_seed=self.config.seed if self.train.flip else None,
            drop_seed=self.config.seed if self.train.loss.drop else None,
            teachers=tuple(names),
        )
        self.model: SigLino = self._student(targets)
        self.passes = self._passes(targets, teachers, stored)
        self.clusters = ClusterLoss(job.clusters, self.train.optim.steps)
        self._reading: Iterator[Batch] = iter(())

    def _plan(self, begin: Kept | None) -> Plan:
        shape = self.job.shape
        mixture = mixture_of(self.config, self.sets, shape.patch_size)
        cursor = Cursor(**begin.about["cursor"]) if begin is not None else None
        return plan_of(self.config, mixture, prefix=shape.prefix, cost=Cost.of(shape), cursor=cursor)

    def _taught(self, targets: Stage) -> tuple[list[Teacher], StoredTargets | None]:
        """The teachers that run beside the student, or what they said and was stored."""
        t, cards, device = self.config.targets, self.job.cards, self.device
        if t.keep is Stored.ONLINE:
            loaded = (load_teacher(spec, device.device, device.dtype) for spec in t.teachers)
            return [same_teacher(teacher, card) for teacher, card in zip(loaded, cards, strict=True)], None
        resolution = Resolution(patch_size=self.job.shape.patch_size, min_pixels=t.min_pixels, max_pixels=t.max_pixels)
        digest = Run(self.config.run).stage("sample").require().digest
        return [], StoredTargets.open(
            targets, self.sets.indexes[0], sample_digest=digest, cards=cards, resolution=resolution
        )

    def _student(self, targets: Stage) -> SigLino:
        heads = unpack(targets.files.read("heads.safetensors"), f"{targets.files.url}/heads.safetensors", depth=1)
        checkpoint = self.train.checkpoint
        model = new_student(self.job.shape, seed=self.config.seed, heads=heads, checkpoint=checkpoint)
        return parallelize(
            model.train(),
            device=self.device.device,
            dtype=self.device.dtype,
            world=self.ranks.world,
            fsdp_size=self.train.fsdp_size,
            activation_checkpointing=self.train.activation_checkpointing,
            compiled=self.train.compile,
        )

    def _passes(self, targets: Stage, teachers: list[Teacher], stored: StoredTargets | None) -> Passes:
        loss, cards, device, pack = self.train.loss, self.job.cards, self.device, self.train.pack
        statistics = Statistics.load(targets.files.read("statistics.safetensors"), f"{targets.files.url}/statistics")
        weights = dict(zip([card.name for card in cards], loss.weights, strict=False))
        anchor = None
        if loss.gram > 0:
            anchor = load_anchor(loss.gram_checkpoint, self.job.shape, device=device.device, dtype=device.dtype)
        return Passes(
            model=self.model,
            objective=Objective(config=loss, statistics=statistics, weights=weights),
            device=device.device,
            stored=stored,
            teachers=teachers,
            anchor=anchor,
            summarized=[card.name for card in cards if not (card.patches or card.registers)],
            packs=pack.packs_per_step,
            at_once=self.ranks.world * self.train.packs_at_once,
            world=self.ranks.world,
            # Kernels are chosen and compiled for a length: on a GPU all passes have one.
            total=pack.capacity * self.train.packs_at_once if device.device == "cuda" else None,
            routes=self.routes,
        )

    def lr_share(self, name: str) -> float:
        """All parameters are trained alike."""
        return 1.0

    def begin(self, start: int, stop: int) -> None:
        """Start the loaders."""
        self._reading = batches(
            self._images,
            self.plan,
            start=start,
            stop=stop,
            rank=self.ranks.rank,
            world=self.ranks.world,
            at_once=self.train.packs_at_once,
            workers=self.train.num_workers,
            together=max(map(len, self.passes.rounds)),
            pin=self.device.device == "cuda",
        )

    def gradients(self, step: int) -> Passed:
        """A step's passes, and their terms over all ranks."""
        taught_V = {name: self.routes.images(name, self.plan, step) for name in self.routed}
        done = self.passes(self._reading, self.plan.sums(step)[2].tolist(), taught_V)
        untaught = {name for name, images in done.taught.items() if not images}  # of which there is nothing to say
        numbers = {k: v for k, v in self._gathered(done.terms).items() if k.partition(".")[0] not in untaught}
        return Passed(numbers=numbers, waited=done.waited, seen=done.seen)

    def learnt(self, step: int, passed: Passed) -> None:
        """Note what each curation cluster's images cost."""
        for batch, errors_B in passed.seen:
            self.clusters.add(step, self.sets.clusters(self.job.level, batch.rows_B), errors_B)

    def images(self, passed: Passed) -> Sequence[str]:
        """The ids of a step's images on this rank."""
        return [i for batch, _ in passed.seen for i in self.sets.image_ids(batch.rows_B)]

    def state(self) -> dict[str, Tensor]:
        """The losses of the curation clusters."""
        return {"clusters": self.clusters.total}

    def about(self, step: int) -> dict[str, Any]:
        """The place in the plan, once the clusters' losses are those of all ranks."""
        self.clusters.gather("cuda" if self.device.device == "cuda" else "cpu")
        return {"cursor": asdict(self.plan.cursor(step))}

    def rates(self, step: int, seconds: float) -> dict[str, float]:
        """Images, tokens, padding, and on known GPUs the share of their peak."""
        tokens_V, _, images_V = self.plan.sums(step)
        packs = len(tokens_V)
        rates = {
            "images": float(images_V.sum()),
            "tokens": float(tokens_V.sum()),
            "padding": 1 - float(tokens_V.sum()) / (packs * self.plan.config.capacity),
            "tokens_per_second": float(tokens_V.sum()) / seconds,
        }
        peak = next((v for k, v in PEAK.items() if k in self.device.reason), None)
        if peak:
            mean = float(tokens_V.sum()) / max(1.0, float(images_V.sum()))
            flops = 3 * forward_flops(self.job.shape, round(mean)) * float(images_V.sum())
            rates["mfu"] = flops / seconds / self.ranks.world / peak
        return rates

    def _gathered(self, terms: dict[str, Tensor]) -> dict[str, float]:
        """Every term of all ranks, and what of the teachers' variance is explained."""
        means = mean_over_ranks(terms, self.ranks.world)
        shares = tuple(f".{kind}" for kind in self.passes.objective.explains)
        explained = {f"{k}_explained": 1 - v for k, v in means.items() if k.endswith(shares)}
        return means | explained
