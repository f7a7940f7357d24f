"""What a training says of itself: a line of JSON a step, and trackers that take the same numbers."""

import json
import math
import os
from collections.abc import Sequence
from typing import Any, Protocol

from siglino_core.config import Tracker
from siglino_core.errors import ConfigError
from siglino_core.store import Files
from siglino_core.store.successor import FOLDER

NAME = "metrics.jsonl"


class Sink(Protocol):
    """Takes a step's numbers."""

    def __call__(self, step: int, numbers: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """``metrics.jsonl``: appended to on a local disk, put anew with every checkpoint on an object store.

    Args:
        files: the stage's folder.
        start: the step that training goes on from; what is there of it and of later ones is dropped.
    """

    def __init__(self, files: Files, start: int) -> None:
        self._files = files
        kept = b"".join(line for line in _lines(files) if _step(line) < start)
        if kept or files.exists(NAME):
            files.put(NAME, kept)
        if files.local is None:
            self._held, self._file = [kept], None
        else:
            files.local.mkdir(parents=True, exist_ok=True)
            self._held, self._file = [], (files.local / NAME).open("ab")

    def __call__(self, step: int, numbers: dict[str, Any]) -> None:
        line = json.dumps({"step": step, **_plain(numbers)}).encode() + b"\n"
        if self._file is None:
            self._held.append(line)
        else:
            self._file.write(line)
            self._file.flush()

    def flush(self) -> None:
        """Before a checkpoint: what it comes after is there, even if the machine loses its power."""
        if self._file is None:
            self._held = [b"".join(self._held)]
            self._files.put(NAME, self._held[0])
        else:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()


def read(files: Files) -> list[dict[str, Any]]:
    """Every step's numbers; a last line that was cut short is left out."""
    return [json.loads(line) for line in _lines(files)]


class TensorBoard:
    """Event files in ``<train>/tensorboard``."""

    def __init__(self, files: Files, start: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as e:
            raise _missing(Tracker.TENSORBOARD) from e
        self._writer = SummaryWriter(files.sub("tensorboard").url, purge_step=start)

    def __call__(self, step: int, numbers: dict[str, Any]) -> None:
        for name, value in numbers.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name.replace(".", "/"), value, step)

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Weights & Biases; the project and the account are those of its own environment variables."""

    def __init__(self, files: Files, start: int) -> None:
        try:
            import wandb  # type: ignore[import-not-found]
        except ImportError as e:
            raise _missing(Tracker.WANDB) from e
        name = files.url.rpartition("/")[0].removesuffix(f"/{FOLDER}").rpartition("/")[2]
        self._run = wandb.init(name=name, id=_id(files), resume="allow")

    def __call__(self, step: int, numbers: dict[str, Any]) -> None:
        self._run.log(numbers, step=step)

    def close(self) -> None:
        self._run.finish()


class MLflow:
    """MLflow; the server and the experiment are those of its own environment variables."""

    def __init__(self, files: Files, start: int) -> None:
        try:
            import mlflow  # type: ignore[import-not-found]
        except ImportError as e:
            raise _missing(Tracker.MLFLOW) from e
        self._mlflow = mlflow
        mlflow.start_run(run_name=_id(files))

    def __call__(self, step: int, numbers: dict[str, Any]) -> None:
        self._mlflow.log_metrics({k: v for k, v in numbers.items() if isinstance(v, int | float)}, step=step)

    def close(self) -> None:
        self._mlflow.end_run()


TRACKERS = {Tracker.TENSORBOARD: TensorBoard, Tracker.WANDB: WandB, Tracker.MLFLOW: MLflow}


def sinks(files: Files, start: int, trackers: Sequence[Tracker]) -> list[Sink]:
    """The trackers that are asked for.

    Raises:
        ConfigError: one is not installed.
    """
    return [TRACKERS[tracker](files, start) for tracker in trackers]


def _missing(tracker: Tracker) -> ConfigError:
    return ConfigError(
        f"train.trackers: {tracker.value} is not installed: pip install {tracker.value}, or leave it out"
    )


def _id(files: Files) -> str:
    from siglino_core.hashing import fingerprint

    return fingerprint(files.url)[:16]


def _lines(files: Files) -> list[bytes]:
    if not files.exists(NAME):
        return []
    return [line + b"\n" for line in files.read(NAME).split(b"\n")[:-1]]


def _step(line: bytes) -> int:
    return json.loads(line)["step"]


def _plain(numbers: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN and no infinity: null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in numbers.items()}
