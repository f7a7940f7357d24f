"""Batches by the plan: worker processes read, decode and scale the images of the next steps.

Legend: B images, N patches of all images, V values of a patch.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import resource_tracker
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from siglino_core.device import single_thread
from siglino_core.distillation.curated.sets import CuratedSets
from siglino_core.distillation.packing import Pack, Plan
from siglino_core.distillation.targets.stored import Fetched, StoredTargets
from siglino_core.distillation.training.dropping import draws
from siglino_core.errors import DataError, SiglinoError, WorkerError
from siglino_core.hashing import key_of, uniform
from siglino_core.images.patches import to_patches
from siglino_core.images.reasons import BadImage
from siglino_core.store.patience import Patience, be_patient, patience

T = TypeVar("T", covariant=True)
AHEAD = 4  # batches that each worker has ready, at least


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """The images of one forward pass.

    Attributes:
        patches_NV: uint8, the images' patches one after the other.
        shapes: each image's (height, width) in patches.
        rows_B: int64, rows of the curated sets.
        epochs_B: int64, the epoch each image comes from.
        tokens: of the packs, prefixes included.
        parts_B: the number of each image's part of the mixture.
        draws_MB: of teacher dropping, by teacher and image; None: no teacher is dropped.
        targets: as they are stored, by teacher; empty if the teachers run in training.
    """

    patches_NV: Tensor
    shapes: list[tuple[int, int]]
    rows_B: np.ndarray
    epochs_B: np.ndarray
    tokens: int
    parts_B: np.ndarray
    draws_MB: Tensor | None = None
    targets: dict[str, Fetched] = field(default_factory=dict)

    def pin_memory(self) -> "Batch":
        """For DataLoader: what is copied to a GPU, in memory that it can fetch by itself."""
        return replace(self, patches_NV=self.patches_NV.pin_memory())


@dataclass(frozen=True, eq=False, kw_only=True)
class Images(Dataset[Batch | SiglinoError]):
    """From packs to their batch. An error of ours is returned: raised in a worker it would arrive without its type.

    Args:
        stored: the teachers' targets, if they are stored.
        flip_seed: of which images are mirrored; None: none.
        drop_seed: of which teachers are dropped; None: none.
        teachers: their names.
    """

    sets: CuratedSets
    patch_size: int
    stored: StoredTargets | None = None
    flip_seed: int | None = None
    drop_seed: int | None = None
    teachers: tuple[str, ...] = ()

    def __getitem__(self, packs: Sequence[Pack]) -> Batch | SiglinoError:
        try:
            return self.batch(packs)
        except SiglinoError as e:
            return e

    def batch(self, packs: Sequence[Pack]) -> Batch:
        """Read and decode.

        Raises:
            DataError: an image cannot be decoded.
            StoreError: a shard is gone or cut short.
        """
        rows_B = np.concatenate([p.rows_N for p in packs])
        epochs_B = np.concatenate([np.full(len(p.rows_N), p.epoch, np.int64) for p in packs])
        shapes = [(int(h), int(w)) for p in packs for h, w in p.grids_N2]
        flips_B = self._flips(rows_B, epochs_B)
        patches = []
        for data, shape, row, flip in zip(self.sets.read(rows_B), shapes, rows_B, flips_B, strict=True):
            try:
                patches.append(to_patches(data, shape, self.patch_size, flip=bool(flip)))
            except BadImage as e:
                name = self.sets.image_ids(np.array([row]))[0]
                raise DataError(f"image {name} of the sample cannot be decoded ({e}): was its shard changed?") from e
        return Batch(
            patches_NV=torch.cat(patches),
            shapes=shapes,
            rows_B=rows_B,
            epochs_B=epochs_B,
            tokens=sum(p.tokens for p in packs),
            parts_B=np.concatenate([p.parts_N for p in packs]),
            draws_MB=self._draws(rows_B, epochs_B),
            targets={} if self.stored is None else self.stored.fetch(rows_B),
        )

    def _draws(self, rows_B: np.ndarray, epochs_B: np.ndarray) -> Tensor | None:
        if self.drop_seed is None:
            return None
        return draws(self.drop_seed, self.teachers, epochs_B, self.sets.image_ids(rows_B))

    def _flips(self, rows_B: np.ndarray, epochs_B: np.ndarray) -> np.ndarray:
        if self.flip_seed is None:
            return np.zeros(len(rows_B), bool)
        out_B = np.empty(len(rows_B), bool)
        for epoch in np.unique(epochs_B):
            in_epoch = epochs_B == epoch
            out_B[in_epoch] = (
                uniform(key_of(self.flip_seed, "flip", int(epoch)), rows_B[in_epoch].astype(np.uint64)) < 0.5
            )
        return out_B


class _Packs(Sampler[tuple[Pack, ...]]):
    """The packs of this rank's forward passes, from a step on, without end."""

    def __init__(self, plan: Plan, start: int, stop: int, rank: int, world: int, at_once: int) -> None:
        self._plan, self._range, self._ranks, self._at_once = plan, range(start, stop), (rank, world), at_once

    def __iter__(self) -> Iterator[tuple[Pack, ...]]:
        for step in self._range:
            packs = self._plan.packs_for(step, *self._ranks)
            for i in range(0, len(packs), self._at_once):
                yield packs[i : i + self._at_once]


class Readable(Protocol[T]):
    """Images by packs of a plan; as a `Dataset` it gives a batch, or the error that reading it was."""

    def batch(self, packs: Sequence[Pack]) -> T:
        """Read and decode; an error of ours is raised."""
        ...


def batches(
    images: Readable[T],
    plan: Plan,
    *,
    start: int,
    stop: int,
    rank: int = 0,
    world: int = 1,
    at_once: int = 1,
    workers: int = 1,
    together: int = 1,
    pin: bool = False,
) -> Iterator[T]:
    """This rank's batches of steps ``start`` to ``stop - 1``: passes of up to ``at_once`` packs, in order.

    Args:
        workers: processes beside this one; 0: none.
        together: batches that are asked for in one go, which workers should have ready.
        pin: for a CUDA device.

    Raises:
        SiglinoError: as its `batch`.
        WorkerError: a worker process died.
    """
    sampler = _Packs(plan, start, stop, rank, world, at_once)
    if workers == 0:
        for packs in sampler:
            yield images.batch(packs)
        return
    loader = DataLoader(
        cast(Dataset[Any], images),
        batch_size=None,
        sampler=sampler,
        num_workers=workers,
        pin_memory=pin,
        prefetch_factor=max(AHEAD, -(-together // workers)),
        worker_init_fn=partial(_begin, patience()),
        multiprocessing_context="spawn",  # threads of gloo, NCCL and Ray do not outlive a fork
    )
    with _heedless():
        iterator = iter(loader)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except (RuntimeError, OSError, EOFError) as e:  # what torch says of a dead worker, or a pipe that broke off
            if not _died(iterator):
                raise
            raise _dead(e) from e
        if isinstance(batch, SiglinoError):
            raise batch
        yield batch


@contextmanager
def _heedless() -> Iterator[None]:
    """Processes started within do not heed the terminal's Ctrl-C, which comes to all: they end with this one.

    They would say where they stood, each in its traceback. Python's own process that cleans up behind them says
    nothing, either.
    """
    with warnings_of_children("ignore:resource_tracker"):
        resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def warnings_of_children(rule: str) -> Iterator[None]:
    """Python processes started within have one more filter of warnings."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = f"{before},{rule}" if before else rule
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


@contextmanager
def dead_loaders() -> Iterator[None]:
    """A loader's death becomes a WorkerError, wherever this process stands: torch tells it in a signal's handler."""
    try:
        yield
    except RuntimeError as e:
        if "DataLoader worker" not in str(e):
            raise
        raise _dead(e) from e


def _dead(error: Exception) -> WorkerError:
    why = f"{type(error).__name__}: {error}"
    return WorkerError(f"a process that reads images died ({why}). Out of memory? Try fewer train.num_workers.")


def _died(iterator: Any, seconds: float = 5.0) -> bool:
    """Whether a loader's process is gone; a pipe may tell of its end before the system does."""
    deadline = time.monotonic() + seconds
    while all(worker.is_alive() for worker in iterator._workers):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _begin(patient: Patience, _: int) -> None:
    single_thread()
    be_patient(patient)
