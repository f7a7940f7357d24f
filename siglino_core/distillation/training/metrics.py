"""What a training says of itself: a line of JSON a step, and trackers that take the same numbers."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from siglino_core.config import Tracker
from siglino_core.errors import ConfigError, DamagedError
from siglino_core.store import Files
from siglino_core.store.intact import is_intact
from siglino_core.store.successor import FOLDER

NAME = "metrics.jsonl"
MEND = "Bring it back from a copy; or delete it, which loses what it says of the steps until then and nothing else."
Written = Sequence[Any]  # length and SHA-256 of the file, as it was


class Sink(Protocol):
    """Takes a step's numbers."""

    def __call__(self, step: int, numbers: dict[str, float]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """``metrics.jsonl``: appended to on a local disk, put anew with every checkpoint on an object store.

    Args:
        files: the stage's folder.
        start: the step that training goes on from; what is there of it and of later ones is dropped.
        written: what the file was when that step was reached, if that is known.

    Raises:
        DamagedError: it is no more what was written.
    """

    def __init__(self, files: Files, start: int, written: Written | None = None) -> None:
        self._files = files
        kept = _until(files, start, written)
        if kept or files.exists(NAME):
            files.put(NAME, kept)
        self._hash, self._length = hashlib.sha256(kept), len(kept)
        if files.local is None:
            self._held, self._file = [kept], None
        else:
            files.local.mkdir(parents=True, exist_ok=True)
            self._held, self._file = [], (files.local / NAME).open("ab")

    def __call__(self, step: int, numbers: dict[str, Any]) -> None:
        line = json.dumps({"step": step, **_plain(numbers)}).encode() + b"\n"
        self._hash.update(line)
        self._length += len(line)
        if self._file is None:
            self._held.append(line)
        else:
            self._file.write(line)
            self._file.flush()

    def flush(self) -> Written:
        """Before a checkpoint: what it comes after is there, even if the machine loses its power; what that is."""
        if self._file is None:
            self._held = [b"".join(self._held)]
            self._files.put(NAME, self._held[0])
        else:
            os.fsync(self._file.fileno())
        return [self._length, self._hash.hexdigest()]

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()


def read(files: Files, written: Written | None = None) -> list[dict[str, Any]]:
    """Every step's numbers; a last line that was cut short is left out. None if the file is gone.

    Args:
        written: what the file was, if that is known.

    Raises:
        DamagedError: it is not what was written.
    """
    if written is not None and files.exists(NAME) and not is_intact(files, NAME, written):
        raise DamagedError(f"{files.url}/{NAME} is damaged: it is not what the training left. {MEND}")
    return [numbers for _, numbers in _lines(files)]


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


def _until(files: Files, start: int, written: Written | None) -> bytes:
    """The lines of the steps before ``start``."""
    if written is None:
        lines: list[bytes] = []
        for line, numbers in _lines(files) if start else ():
            lines += [line] if numbers["step"] < start else []
            if numbers["step"] >= start - 1:  # whatever a dead process left behind it
                break
        return b"".join(lines)
    length, digest = written
    if not files.exists(NAME):
        return b""
    data = files.read(NAME)[:length]
    if hashlib.sha256(data).hexdigest() != digest:
        raise DamagedError(f"{files.url}/{NAME} is damaged: it is not what step {start} left. {MEND}")
    return data


def _lines(files: Files) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Every line that was ended, and what it says."""
    data = files.read(NAME) if files.exists(NAME) else b""
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            numbers = json.loads(line)
        except (ValueError, RecursionError):
            numbers = None
        if not isinstance(numbers, dict) or not isinstance(numbers.get("step"), int):
            raise DamagedError(f"{files.url}/{NAME} is damaged: line {number} is no step's. {MEND}")
        yield line + b"\n", numbers


def _plain(numbers: dict[str, Any]) -> dict[str, Any]:
    """JSON knows no NaN and no infinity: null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in numbers.items()}
