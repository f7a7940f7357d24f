"""train: a student distilled on the curated images, by one process or many, on Ray Train.

Reads `sample` (the images, by byte ranges) and `targets`, writes checkpoints and `metrics.jsonl` while it trains, and
in the end the student's weights and the loss of every curation cluster. What is left to do is what the newest
checkpoint has not done.
"""

import json
import os
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from safetensors.torch import save_file

from pipelines.support import price
from pipelines.support.runtime import Estimate, Progress, Result, gpus, silent, start_ray, worker_device, worker_errors
from pipelines.support.words import short
from siglino_core import errors
from siglino_core.config import Config, Runner, Stored, shaping
from siglino_core.config.distill import STUDENTS
from siglino_core.device import Device
from siglino_core.distillation.training import metrics
from siglino_core.distillation.training.checkpoints import Checkpoints, Kept
from siglino_core.distillation.training.clusters import MOST, table
from siglino_core.distillation.training.mixture import largest_area, parts_of, runs_of
from siglino_core.distillation.training.rank import Job, run_rank
from siglino_core.distillation.training.student import student_config
from siglino_core.encoders.card import Card
from siglino_core.errors import ConfigError, SiglinoError, StoreError, WorkerError
from siglino_core.models import SigLinoConfig
from siglino_core.models.size import backbone_parameters, training_flops
from siglino_core.networks import describe, outline
from siglino_core.schema import CLUSTER_LOSS
from siglino_core.store import Identity, Manifest, Run, Stage
from siglino_core.weights.checkpoint import tensor, weights

VERSION = 1
STUDENT = "student"
SCRATCH = "ray/"  # what Ray Train leaves: it has nothing of ours


def run(config: Config, run: Run, progress: Progress = silent, redo: str = "no") -> Result:
    """Train to the last step, from the newest checkpoint if there is one."""
    sample, targets = run.stage("sample").require(), run.stage("targets").require()
    _belong_together(config, run, sample, targets)
    stage, device = run.stage("train"), worker_device(config.runtime, config.train.precision.value)
    identity = Identity(
        stage="train",
        version=VERSION,
        config={
            **shaping(config.train),
            "student": _student(config, targets),
            "seed": config.seed,
            "precision": str(device.dtype)[6:],
        },
        inputs={"sample": sample.digest, "targets": targets.digest, **_others(config), **_begun_from(config)},
    )
    todo = stage.begin(identity, lambda: [{"name": STUDENT}], redo=redo)
    steps = config.train.optim.steps
    if todo.manifest is not None:
        progress("train", steps, steps, device.reason)
        return Result(state=todo.state, manifest=todo.manifest)
    job = _job(config, run, identity.fingerprint, sample, targets)
    found = _checkpoints(stage, identity.fingerprint)
    state = "Resumed" if found else todo.state
    if not found or found[-1].step < steps:
        if config.runtime.runner is Runner.LOCAL:
            _alone(job, device, progress)
        else:
            _on_ray(job, device, progress)
    facts = _commit(stage, job, device)
    manifest = stage.finish(identity, todo, facts=facts)
    stage.sweep(SCRATCH)
    return Result(state=state, manifest=manifest)


def plan(config: Config, rows: int) -> Estimate:
    """What training costs: FLOPs of the student, forward and backward, and of teachers that run beside it."""
    pack = config.train.pack
    cards = [outline(spec) for spec in config.targets.teachers]
    shape = student_config(config.train, cards)
    tokens = pack.packs_per_step * pack.capacity * config.train.optim.steps
    patches = _mean_patches(config)
    mean = patches + shape.prefix
    flops = training_flops(shape, mean) / mean
    if config.targets.keep is Stored.ONLINE:
        flops += sum(c.image_flops(patches * c.patch_size**2) for c in cards) / mean
    gpu = price.on_gpu(flops * mean, config.runtime, config.train.precision.value)
    device, hours = price.device_hours(tokens * flops, price.TRAIN, gpu=gpu)
    images = tokens // mean
    return Estimate(
        stage="train",
        shards=1,
        rows=images,
        bytes=_checkpoint_bytes(shape) * (config.train.keep_last + 1),
        device=device,
        device_hours=hours,
        note=(
            f"{config.train.optim.steps:,} steps of {pack.packs_per_step * pack.capacity:,} tokens, "
            f"{short(tokens, '')} tokens, {images / max(1, rows):,.1f} epochs; {short(flops, 'FLOP')} a token; "
            f"one byte-range read an image, {images:,} in all"
        ),
    )


def _mean_patches(config: Config) -> int:
    parts = parts_of(config)
    weights = [p.ratio or 1.0 for p in parts]
    return round(sum(w * p.max_pixels / 256 for w, p in zip(weights, parts, strict=True)) / sum(weights))


def _checkpoint_bytes(shape: SigLinoConfig) -> int:
    heads = sum(shape.width * t.dim + t.dim**2 for t in shape.teachers)
    return 3 * 4 * (backbone_parameters(shape) + heads)  # weights, and about two numbers each of the optimisers


def _belong_together(config: Config, run: Run, sample: Manifest, targets: Manifest) -> None:
    """Refuse targets of another sample, other teachers or other settings."""
    if targets.identity["inputs"]["sample"] != sample.digest:
        raise ConfigError(
            f"{run.url}/targets are of another sample ({targets.identity['inputs']['sample'][:12]}, this run's is "
            f"{sample.digest[:12]}). Use --redo targets."
        )
    theirs, ours = targets.identity["config"], shaping(config.targets)
    asked = [describe(spec) for spec in config.targets.teachers]
    told = {name: of["card"]["identity"] for name, of in targets.facts["teachers"].items()}
    ours |= {"teachers": {card.name: card.identity for card in asked}, "precision": theirs["precision"]}
    theirs = {**theirs, "teachers": told}
    differing = [f"targets.{k}: {theirs.get(k)!r} there, {v!r} here" for k, v in ours.items() if theirs.get(k) != v]
    if differing:
        raise ConfigError(
            f"{run.url}/targets were made by another config:\n  " + "\n  ".join(differing) + "\nUse --redo targets."
        )


def _others(config: Config) -> dict[str, str]:
    """Digests of other runs' samples that are trained on."""

    return {url: Run(url).stage("sample").require().digest for url in runs_of(config)[1:]}


def _begun_from(config: Config) -> dict[str, str]:
    """The identity of the weights that training begins with, if it begins with any."""
    from siglino_core.weights.source import identity

    return {"checkpoint": identity(config.train.checkpoint)} if config.train.checkpoint else {}


def _student(config: Config, targets: Manifest) -> Any:
    """A student's name; of one's own its shape, wherever its config.json lies, less the teachers: targets tell them."""
    if config.train.student in STUDENTS:
        return config.train.student
    shape = asdict(student_config(config.train, _cards(config, targets)))
    return {key: value for key, value in shape.items() if key != "teachers"}


def _cards(config: Config, targets: Manifest) -> tuple[Card, ...]:
    """The teachers' cards as the targets have them, in the config's order."""
    told = targets.facts["teachers"]
    return tuple(Card.read(told[describe(spec).name]["card"]) for spec in config.targets.teachers)


def _job(config: Config, run: Run, fingerprint: str, sample: Manifest, targets: Manifest) -> Job:
    from siglino_core.models.hf_config import SigLinoHFConfig  # here, since ranks import this module

    cards = _cards(config, targets)
    shape = student_config(config.train, cards)
    counts = run.stage("cluster").require().identity["config"]["num_clusters"]
    level = next((i for i, k in enumerate(counts, start=1) if k <= MOST), len(counts))
    return Job(
        config=config,
        fingerprint=fingerprint,
        shape=shape,
        config_json=SigLinoHFConfig.of(shape, architectures=["SigLinoModel"]).to_diff_dict(),
        cards=cards,
        level=level,
        clusters=counts[level - 1],
        cache=str(Path(gettempdir()) / "siglino-index") if sample.facts["kept"] > 1_000_000 else "",
    )


def _checkpoints(stage: Stage, fingerprint: str) -> list[Kept]:
    return Checkpoints(stage.files.sub("checkpoints"), fingerprint).all()


def _alone(job: Job, device: Device, progress: Progress) -> None:
    if job.config.train.ranks > 1:
        raise ConfigError(
            f"train.ranks={job.config.train.ranks} needs runtime.runner=ray: the local one is one process"
        )
    run_rank(job, device, tell=lambda step, steps, note: progress("train", step, steps, note))


class ProgressActor:
    """An actor that ranks write on, and the driver reads: progress, and the first error of ours."""

    def __init__(self) -> None:
        self._said: tuple[int, int, str] | None = None
        self._error: tuple[str, str] | None = None

    def say(self, step: int, steps: int, note: str) -> None:
        self._said = step, steps, note

    def forget(self) -> None:
        """What ranks that are gone said."""
        self._said = None

    def fail(self, kind: str, text: str) -> None:
        self._error = self._error or (kind, text)

    def read(self) -> tuple[tuple[int, int, str] | None, tuple[str, str] | None]:
        return self._said, self._error


def _on_ray(job: Job, device: Device, progress: Progress) -> None:
    """Train on a group of workers; when one of them dies all begin anew, from the newest checkpoint."""
    ray = start_ray(job.config.runtime)
    board = ray.remote(num_cpus=0)(ProgressActor).remote()
    train, failure = job.config.train, None
    for attempt in range(train.max_restarts + 1):
        world = _ranks(job.config, device)
        if attempt:
            ray.get(board.forget.remote())
            progress("train", 0, train.optim.steps, f"a worker died: from the newest checkpoint, on {world} ranks")
        with _watched(ray, board, progress), worker_errors():
            failure = _fit(job, device, world, board)
        if failure is None:
            return
        _, error = ray.get(board.read.remote())
        if error is not None:
            kind, text = error
            raise getattr(errors, kind)(text)
    raise WorkerError(
        f"train: workers died {train.max_restarts + 1} times (the last time: {failure}). The checkpoints stay: run the "
        "same command again. If they ran out of memory, lower train.pack.capacity or set "
        "train.activation_checkpointing=true."
    )


def _fit(job: Job, device: Device, world: int, board: Any) -> str | None:
    """Ray Train's part; what failed, if anything."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    on_gpu = device.device == "cuda"
    needs = {"CPU": 1.0, **({"GPU": 1.0} if on_gpu else {})}
    url = job.config.run.rstrip("/")
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"job": job, "device": device, "board": board, "folder": os.getcwd()},
        scaling_config=ScalingConfig(num_workers=world, use_gpu=on_gpu, resources_per_worker=needs),
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        run_config=RunConfig(
            name=job.fingerprint,
            storage_path=f"{url if '://' in url else Path(url).absolute()}/train/{SCRATCH}",
            failure_config=FailureConfig(max_failures=0),  # ours: with errors of the user's there is nothing to retry
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as e:
        return " ".join(str(e).split())[:300]
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
    context, board = get_context(), settings["board"]
    rank = context.get_world_rank()

    def tell(step: int, steps: int, note: str) -> None:
        board.say.remote(step, steps, note)

    try:
        run_rank(settings["job"], settings["device"], rank=rank, world=context.get_world_size(), tell=tell)
    except WorkerError:
        raise  # a loader of this rank was killed: a rank that dies with it is started again
    except SiglinoError as e:
        ray.get(board.fail.remote(type(e).__name__, str(e)))
        raise


@contextmanager
def _watched(ray: Any, board: Any, progress: Progress) -> Iterator[None]:
    """Pass on what ranks say, once a second."""
    done = threading.Event()

    def watch() -> None:
        seen = None
        while not done.wait(1.0):
            said, _ = ray.get(board.read.remote())
            if said is not None and said != seen:
                progress("train", *said)
                seen = said

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(5)


def _commit(stage: Stage, job: Job, device: Device) -> dict[str, Any]:
    """The student's weights and the clusters' losses, from the last checkpoint; facts for the manifest."""
    found = _checkpoints(stage, job.fingerprint)
    steps = job.config.train.optim.steps
    if not found or found[-1].step < steps:
        raise StoreError(f"{stage.files.url}: the last checkpoint, of step {steps}, is not there. Run again.")
    folder = stage.files.sub(f"checkpoints/{found[-1].name}")
    state = weights(folder)
    with stage.writer(STUDENT, job.fingerprint) as out:
        path = out.path("student/model.safetensors")
        save_file(state, path, metadata={"format": "pt"})
        path.chmod(path.parent.stat().st_mode & 0o666)  # safetensors makes files that their owner alone can read
        out.path("student/config.json").write_text(
            json.dumps(job.config_json, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
        losses = table(tensor(folder, "clusters"), steps)
        out.write("clusters/part-00000.parquet", losses, CLUSTER_LOSS)
        out.commit(rows=steps)
    lines = metrics.read(stage.files)
    return {
        "student": job.config.train.student,
        "teachers": [card.deciding() for card in job.cards],
        "parameters": sum(t.numel() for t in state.values()),
        "steps": steps,
        "images": int(sum(line["images"] for line in lines)),
        "tokens": int(sum(line["tokens"] for line in lines)),
        "cluster_level": job.level,
        "ranks": found[-1].about["ranks"],
        "device": device.reason,
        "max_pixels": largest_area(job.config),
        "losses": _losses(lines),
        **_medians(lines),
    }


def _medians(lines: list[dict[str, Any]]) -> dict[str, float]:
    """What a step was like; nothing if the curve was lost."""
    names = ("tokens_per_second", "data_wait", "padding") if lines else ()
    return {name: statistics.median(line[name] for line in lines) for name in names}


def _losses(lines: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Every loss at the beginning and at the end: means over a tenth of the steps, ten at most, that were finite."""
    good = [line for line in lines if line["loss"] is not None]
    if not good:
        return {"first": {}, "last": {}}
    some = max(1, min(10, len(lines) // 10))
    names = [k for k in good[-1] if k == "loss" or k.endswith((".summary", ".patch", ".register", ".relation"))]

    def mean(of: list[dict[str, Any]]) -> dict[str, float]:
        return {name: round(statistics.fmean(line[name] for line in of), 6) for name in names}

    return {"first": mean(good[:some]), "last": mean(good[-some:])}
