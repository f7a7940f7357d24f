"""Training checkpoints: written aside while training goes on, whole or absent, kept by rule, read without trust.

A checkpoint is a folder ``step_NNNNNNNN`` in torch.distributed.checkpoint's format (any number of ranks reads what any
number wrote), the student's ``config.json``, and ``checkpoint.json``, its mark, with the length and hash of each file.
That is written last: without it a folder is no checkpoint. Training goes on from the newest that is what was written.
"""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint._fsspec_filesystem import FsspecWriter
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from siglino_core.errors import ConfigError, DamagedError, SiglinoError, StoreError
from siglino_core.foreign import logger
from siglino_core.store import Files
from siglino_core.store.files import reported
from siglino_core.store.sealed import opened
from siglino_core.weights.checkpoint import reader
from siglino_core.weights.marks import INSTEAD, MARK, mark, spoilt

LOG = logger("siglino.train")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A checkpoint that is there, and what its mark says."""

    step: int
    name: str
    about: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training.

    Args:
        files: their folder.
        fingerprint: of the training; those of another are refused.
        last, every: which are kept: the newest so many, and those at multiples of so many steps (0: none of these).
        rank: of this process; rank 0 marks and deletes.
        group: of CPU tensors, for writing beside training; None without other ranks.
    """

    def __init__(
        self,
        files: Files,
        fingerprint: str,
        *,
        last: int = 2,
        every: int = 0,
        rank: int = 0,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        self.files, self.fingerprint = files, fingerprint
        self._last, self._every, self._rank, self._group = last, every, rank, group
        self._writing: tuple[Future[Any], str] | None = None
        self._beside = ThreadPoolExecutor(1, "checkpoint")

    def all(self) -> list[Kept]:
        """Those that have a readable mark, oldest first.

        Raises:
            ConfigError: one is of another training, or of an earlier version.
        """
        return self._marked()[0]

    def newest(self, warn: Callable[[str], None] = LOG.warning) -> Kept | None:
        """The newest whose files are what was written, to go on from; all ranks call it, and share the hashing.

        What is newer and damaged is a checkpoint no more.

        Args:
            warn: told, on rank 0, of what is damaged.

        Raises:
            ConfigError: as :meth:`all`.
            DamagedError: there are some, and all of them are damaged.
        """
        kept, bad = self._marked()
        for one in reversed(kept):
            found = self._damaged(one)
            if not found:
                self._drop([name for name in bad if name > one.name], one, bad, warn)
                return one
            bad[one.name] = found
        if bad:
            raise DamagedError(
                f"{self.files.url}: {_listed(bad)}: not what was written, or gone, and no checkpoint is left to go on "
                "from. Use --redo train to begin anew, or bring the files back from a copy."
            )
        return None

    def _marked(self) -> tuple[list[Kept], dict[str, list[str]]]:
        """Those with a mark that can be read, oldest first, and by name those whose mark is damaged."""
        names = [n for n in self.files.sizes() if n.count("/") == 1 and n.endswith(f"/{MARK}")]
        kept, bad = [], {}
        for name, text in self.files.read_many(names).items():
            try:
                about = opened(text, f"{self.files.url}/{name}", INSTEAD)
            except DamagedError:
                bad[name.partition("/")[0]] = [MARK]
                continue
            if about["fingerprint"] != self.fingerprint:
                raise ConfigError(
                    f"{self.files.url}/{name}: a checkpoint of another training (model, data or settings). "
                    "Use --redo train to begin anew, or another run=URL."
                )
            kept.append(Kept(step=about["step"], name=name.partition("/")[0], about=about))
        return sorted(kept, key=lambda k: k.step), bad

    def _damaged(self, kept: Kept) -> list[str]:
        """A checkpoint's damaged files; each rank looks at its share, and all learn the whole."""
        names = sorted(kept.about["files"])
        world = dist.get_world_size(self._group) if self._group is not None else 1
        mine = names[self._rank :: world] if world > 1 else names
        found = spoilt(self.files.sub(kept.name), {name: kept.about["files"][name] for name in mine})
        if world > 1:
            shares: list[Any] = [None] * world
            dist.all_gather_object(shares, found, group=self._group)
            found = sorted(name for share in shares for name in share)
        return found

    def _drop(self, names: list[str], before: Kept, bad: dict[str, list[str]], warn: Callable[[str], None]) -> None:
        """Say what is damaged, and take its mark away: training is about to write these steps again."""
        if self._rank == 0 and names:
            said = _listed({name: bad[name] for name in names})
            warn(f"{self.files.url}: {said}: not what was written, or gone. Training goes on from {before.name}.")
            self.files.delete([f"{name}/{MARK}" for name in names])

    def save(self, state: Mapping[str, Tensor], config: Mapping[str, Any], about: dict[str, Any]) -> None:
        """Begin to write; all ranks call it. One that is being written is finished first.

        Args:
            state: tensors alone, replicated or sharded; they may change as soon as this returns.
            config: the student's, as transformers writes it.
            about: for the mark; ``step`` is in it.
        """
        self.finish()
        name = f"step_{about['step']:08d}"
        if self._rank == 0:
            self.files.delete(self.files.sizes(name))  # what a killed training began, maybe on other ranks
            self.files.put(f"{name}/config.json", json.dumps(config, indent=2).encode())
        if self._group is not None:
            dist.barrier(self._group)  # the folder is there
        # On the CPU nothing is copied by torch: what is written must not move on meanwhile.
        steady = {key: tensor.clone() if tensor.device.type == "cpu" else tensor for key, tensor in state.items()}
        with reported(f"{self.files.url}/{name}"):
            writing = async_save(
                steady,
                storage_writer=self._writer(name),
                process_group=self._group,
                no_dist=self._group is None,
            )
        assert isinstance(writing, Future)
        about = {**about, "fingerprint": self.fingerprint}
        self._writing = self._beside.submit(self._written, writing, name, about), name

    def _written(self, writing: Future[Any], name: str, about: dict[str, Any]) -> None:
        """In a thread beside training: when all ranks have written, mark it."""
        writing.result()
        if self._rank == 0:
            mark(self.files.sub(name), about)

    def poll(self) -> None:
        """Take note of what has been written by now; cheap."""
        if self._writing is not None and self._writing[0].done():
            self.finish()

    def finish(self) -> None:
        """Wait until it is written and marked, and delete what the rule does not keep.

        Raises:
            StoreError: it could not be written.
        """
        if self._writing is None:
            return
        writing, name = self._writing
        self._writing = None
        with reported(f"{self.files.url}/{name}"):
            try:
                writing.result()
            except CheckpointException as e:
                raise _first(e) from e
        if self._rank == 0:
            self.prune()

    def prune(self) -> None:
        """Delete what the rule does not keep, and what was never finished; what is damaged stays, to be named."""
        kept, bad = self._marked()
        names = {k.name for i, k in enumerate(kept) if i >= len(kept) - self._last or self._at_multiple(k.step)}
        sizes = self.files.sizes()
        gone = [n for n in sizes if n.partition("/")[0] not in names | bad.keys()]
        self.files.delete(sorted(gone, key=lambda n: not n.endswith(MARK)))  # the mark first
        self.files.tidy()

    def restore(self, state: Mapping[str, Tensor], name: str) -> None:
        """Fill the tensors in place; all ranks call it.

        Raises:
            StoreError: it cannot be read.
        """
        with reported(f"{self.files.url}/{name}"):
            try:
                load(dict(state), storage_reader=reader(self.files.sub(name)), no_dist=self._group is None)
            except (CheckpointException, Exception) as e:
                cause = _first(e)
                if cause is e and self._group is not None:
                    raise  # no rank failed to read: one of them died
                if isinstance(cause, OSError | SiglinoError):
                    raise cause from e
                why = ": ".join([type(cause).__name__, *str(cause).splitlines()[:1]])  # an EOFError says nothing
                raise StoreError(
                    f"{self.files.url}/{name} cannot be read ({why}). Delete it to go on from the one before it."
                ) from e

    def _at_multiple(self, step: int) -> bool:
        return self._every > 0 and step % self._every == 0

    def _writer(self, name: str) -> FileSystemWriter:
        files = self.files.sub(name)
        if files.local is not None:
            return FileSystemWriter(files.local)
        writer = FsspecWriter(files.url)
        writer.fs.fs = files.filesystem  # with our time limits
        return writer


def _listed(bad: Mapping[str, list[str]]) -> str:
    """``step_00000200 (.metadata, config.json)``, and so on."""
    return ", ".join(
        f"{name} ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''})" for name, files in bad.items()
    )


def _first(e: BaseException) -> BaseException:
    """What failed: of several ranks' failures the first."""
    return next(iter(e.failures.values()))[0] if isinstance(e, CheckpointException) else e


def state_of(model: torch.nn.Module, optimizers: list[torch.optim.Optimizer], ema: Any = None) -> dict[str, Tensor]:
    """Everything that training changes, as tensors under stable names: ``model.``, ``ema.``, ``optim.``."""
    names = {id(p): n for n, p in model.named_parameters()}
    state = {f"model.{n}": t for n, t in model.state_dict().items()}
    if ema is not None:
        state |= {f"ema.{n}": t for n, t in ema.weights.items()}
    for optimizer in optimizers:
        for p, values in optimizer.state.items():
            state |= {f"optim.{names[id(p)]}.{key}": v for key, v in values.items() if isinstance(v, Tensor)}
    return state


def prime(optimizers: list[torch.optim.Optimizer]) -> None:
    """Make the optimisers' state as their first step would, so that a checkpoint can be read into it."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                if isinstance(optimizer, torch.optim.AdamW):
                    zeros = {key: torch.zeros_like(p) for key in ("exp_avg", "exp_avg_sq")}
                    optimizer.state[p] = {"step": torch.tensor(0.0), **zeros}
                else:
                    optimizer.state[p] = {"momentum_buffer": torch.zeros_like(p)}
