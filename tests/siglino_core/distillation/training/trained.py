"""Trainings by `run_rank`, which is what users run, on a curated set written by hand."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines import targets
from siglino_core.config import Config
from siglino_core.device import Device
from siglino_core.distillation.training.metrics import read
from siglino_core.distillation.training.rank import Job, run_rank
from siglino_core.distillation.training.student import student_config
from siglino_core.errors import SiglinoError
from siglino_core.models.hf_config import SigLinoHFConfig
from siglino_core.networks import describe
from siglino_core.store import Run
from siglino_core.weights.checkpoint import _held, _read
from tests import records
from tests.siglino_core.distillation.training.samples import sample

CPU = Device(device="cpu", dtype=torch.float32, batch_size=8, reason="cpu")
CLUSTERS = 100  # of `samples.rows`
TIMES = {"tokens_per_second", "step_seconds", "data_wait"}


class StoppedError(SiglinoError):
    """The training was told to stop here."""


def curated(folder: Path, images: list[dict[str, Any]], config: Config, shards: int = 3) -> Run:
    """A run whose sample holds the images, with its targets made by the stage."""
    run = Run(str(folder))
    size = -(-len(images) // shards)
    sample(run, [images[i : i + size] for i in range(0, len(images), size)])
    targets.run(config, run)
    return run


def train(config: Config, run: Run, *, stop: int | None = None) -> None:
    """Train from the newest checkpoint to the end, or until an error after some steps ends it."""

    def tell(step: int, _steps: int, _note: str) -> None:
        if step == stop:
            raise StoppedError(str(step))

    try:
        run_rank(job(config, run), CPU, tell=tell)
    except StoppedError:
        assert stop is not None


def job(config: Config, run: Run) -> Job:
    """What the train stage would hand to its ranks."""
    cards = tuple(describe(spec) for spec in config.targets.teachers)
    shape = student_config(config.train, cards)
    return Job(
        config=config,
        stage=run.stage("train"),
        fingerprint="of a test",
        shape=shape,
        config_json=SigLinoHFConfig.of(shape, architectures=["SigLinoModel"]).to_diff_dict(),
        cards=cards,
        level=1,
        clusters=CLUSTERS,
    )


def curve(run: Run) -> list[dict[str, Any]]:
    """Every step's numbers, less the times."""
    return [{k: v for k, v in line.items() if k not in TIMES} for line in read(run.stage("train").files)]


def last(run: Run) -> dict[str, Tensor]:
    """Everything that the newest checkpoint holds."""
    folder = max(Path(run.url, "train", "checkpoints").iterdir())
    assert records.read(folder / "checkpoint.json")["step"] == int(folder.name[5:])
    held = _held(folder)
    return _read(folder, held, list(held))
