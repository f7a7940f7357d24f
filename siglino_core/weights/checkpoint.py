"""Training checkpoints: shards of torch.distributed.checkpoint beside the student's config, read without trust.

A checkpoint is a folder of ``config.json`` (the published flat form), ``.metadata`` and ``*.distcp``. Its keys begin
with ``model.``, and with ``ema.`` for averaged weights, if there are any.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from siglino_core.errors import DataError
from siglino_core.store import Files
from siglino_core.store.files import reported
from siglino_core.store.patience import UnansweredError

METADATA = ".metadata"
AVERAGED, CURRENT = "ema.", "model."
_DCP = "torch.distributed.checkpoint."
ALLOWED = {
    f"{_DCP}metadata": {
        "Metadata", "TensorStorageMetadata", "TensorProperties", "_MEM_FORMAT_ENCODING", "ChunkStorageMetadata",
        "BytesStorageMetadata", "MetadataIndex", "StorageMeta",
    },
    f"{_DCP}filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size", *(str(d).removeprefix("torch.") for d in vars(torch).values() if isinstance(d, torch.dtype))},
    "pathlib": {"PosixPath", "PurePosixPath"},
}  # fmt: skip


class Reader(FileSystemReader):
    """torch's, whose index is a pickle: this one builds nothing but what an index is made of."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        path = self.fs.concat_path(self.path, METADATA)
        with self.fs.create_stream(path, "rb") as f:
            try:
                metadata = _Unpickler(f).load()
            except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError, IndexError) as e:
                raise DataError(f"{path} is not the index of a checkpoint ({e}). Take another checkpoint.") from e
        if not isinstance(metadata, Metadata):
            raise DataError(f"{path} is not the index of a checkpoint. Take another checkpoint.")
        return metadata


class RemoteReader(Reader, FsspecReader):
    """The same on any fsspec URL."""


def reader(files: Files) -> Reader:
    """The reader of a checkpoint's folder, wherever it lies."""
    if files.local is not None:
        return Reader(files.local)
    remote = RemoteReader(files.url)
    remote.fs.fs = files.filesystem  # with our time limits
    return remote


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        if name not in ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def weights(folder: Path | Files) -> dict[str, Tensor]:
    """The averaged weights of a training checkpoint, or the current ones if no average was kept; on the CPU.

    Raises:
        DataError: it is damaged, or holds no weights.
    """
    held = _held(folder)
    prefix = AVERAGED if any(key.startswith(AVERAGED) for key in held) else CURRENT
    wanted = [key for key in held if key.startswith(prefix)]
    if not wanted:
        raise DataError(f"{_url(folder)} holds no weights of a student: its keys begin {sorted(held)[:3]}")
    return {key.removeprefix(prefix): tensor for key, tensor in _read(folder, held, wanted).items()}


def tensor(folder: Path | Files, key: str) -> Tensor:
    """One tensor of a checkpoint.

    Raises:
        DataError: it is damaged, or does not have it.
    """
    held = _held(folder)
    if key not in held:
        raise DataError(f"{_url(folder)} has no {key!r}. Take another checkpoint.")
    return _read(folder, held, [key])[key]


def _url(folder: Path | Files) -> str:
    return folder.url if isinstance(folder, Files) else str(folder)


def _held(folder: Path | Files) -> dict[str, TensorStorageMetadata]:
    # Tensors alone: whatever else was saved would be unpickled.
    with _reachable(folder):
        entries = reader(Files(_url(folder))).read_metadata().state_dict_metadata
    return {key: meta for key, meta in entries.items() if isinstance(meta, TensorStorageMetadata)}


@contextmanager
def _reachable(folder: Path | Files) -> Iterator[None]:
    """A store that is away is no damaged checkpoint, also where torch has wrapped its error."""
    try:
        yield
    except (UnansweredError, CheckpointException) as e:
        failures = [f[0] for f in e.failures.values()] if isinstance(e, CheckpointException) else [e]
        away = next((f for f in failures if isinstance(f, UnansweredError)), None)
        if away is None:
            raise
        with reported(_url(folder)):
            raise away from e


def _read(folder: Path | Files, held: dict[str, TensorStorageMetadata], keys: list[str]) -> dict[str, Tensor]:
    state: dict[str, Any] = {key: torch.empty(held[key].size, dtype=held[key].properties.dtype) for key in keys}
    try:
        with _reachable(folder):
            load(state, storage_reader=reader(Files(_url(folder))), no_dist=True)
    except (OSError, RuntimeError, ValueError) as e:
        raise DataError(
            f"{_url(folder)} cannot be read ({type(e).__name__}: {e}). Take the checkpoint before it."
        ) from e
    return state
