"""Training checkpoints: shards of torch.distributed.checkpoint beside the student's config, read without trust.

A checkpoint is a folder of ``config.json`` (the published flat form), ``.metadata`` and ``*.distcp``, and a mark with
their hashes (`siglino_core.weights.marks`). Its keys begin with ``model.``, and with ``ema.`` for averaged weights, if
there are any.
"""

import io
import math
import pickle
import warnings
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

from siglino_core.errors import DataError, SiglinoError
from siglino_core.pickles import require_small
from siglino_core.store import Files
from siglino_core.store.files import reported
from siglino_core.store.patience import UnansweredError
from siglino_core.weights.marks import INSTEAD, require_whole

# Said from a thread of torch's, too, where no context could hush it.
warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized", UserWarning)
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
            data = f.read()
        try:
            require_small(data)
            metadata = _Unpickler(io.BytesIO(data)).load()
            if not isinstance(metadata, Metadata) or not _is_index(metadata):
                raise ValueError("it lists no tensors")
        except Exception as e:  # damaged bytes may ask for anything, of a class that is allowed too
            raise DataError(f"{path} is not the index of a checkpoint ({e}). {INSTEAD}") from e
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


def _is_index(metadata: Metadata) -> bool:
    """Whether it is made of what an index is made of."""
    return all(
        isinstance(key, str)
        and (
            not isinstance(meta, TensorStorageMetadata)
            or (isinstance(meta.size, torch.Size) and isinstance(meta.properties.dtype, torch.dtype))
        )
        for key, meta in metadata.state_dict_metadata.items()
    )


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name not in ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def weights(folder: Path | Files) -> dict[str, Tensor]:
    """The averaged weights of a training checkpoint, or the current ones if no average was kept; on the CPU.

    Raises:
        DataError: it holds no weights, or was not finished.
        DamagedError: it is not what was written.
    """
    require_whole(Files(_url(folder)))
    held = _held(folder)
    prefix = AVERAGED if any(key.startswith(AVERAGED) for key in held) else CURRENT
    wanted = [key for key in held if key.startswith(prefix)]
    if not wanted:
        raise DataError(f"{_url(folder)} holds no weights of a student: its keys begin {sorted(held)[:3]}")
    return {key.removeprefix(prefix): tensor for key, tensor in _read(folder, held, wanted).items()}


def tensor(folder: Path | Files, key: str) -> Tensor:
    """One tensor of a checkpoint that is known to be whole.

    Raises:
        DataError: it cannot be read, or does not have it.
    """
    held = _held(folder)
    if key not in held:
        raise DataError(f"{_url(folder)} has no {key!r}. {INSTEAD}")
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
    files = Files(_url(folder))
    asked = sum(math.prod(held[key].size) * held[key].properties.dtype.itemsize for key in keys)
    try:
        if asked > (there := sum(files.sizes().values())):
            raise ValueError(f"its index speaks of {asked:,} bytes, and {there:,} are there")
        state: dict[str, Any] = {key: torch.empty(held[key].size, dtype=held[key].properties.dtype) for key in keys}
        with _reachable(folder):
            load(state, storage_reader=reader(files), no_dist=True)
    except SiglinoError:
        raise
    except (Exception, CheckpointException) as e:  # torch's readers raise whatever damaged bytes lead them to
        why = next(iter(e.failures.values()))[0] if isinstance(e, CheckpointException) else e  # its text is a traceback
        raise DataError(f"{files.url} cannot be read ({type(why).__name__}: {why}). {INSTEAD}") from e
    return state
