"""Training checkpoints: shards of torch.distributed.checkpoint beside the student's config, read without trust.

A checkpoint is a folder of ``config.json`` (the published flat form), ``.metadata`` and ``*.distcp``. Its keys begin
with ``model.``, and with ``ema.`` for averaged weights, if there are any.
"""

import pickle
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from siglino_core.errors import DataError

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
        path = Path(self.path) / METADATA  # type: ignore[arg-type]
        with path.open("rb") as f:
            try:
                metadata = _Unpickler(f).load()
            except (pickle.UnpicklingError, EOFError, AttributeError, TypeError, ValueError, IndexError) as e:
                raise DataError(f"{path} is not the index of a checkpoint ({e}). Take another checkpoint.") from e
        if not isinstance(metadata, Metadata):
            raise DataError(f"{path} is not the index of a checkpoint. Take another checkpoint.")
        return metadata


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:
        if name not in ALLOWED.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def weights(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a training checkpoint, or the current ones if no average was kept; on the CPU.

    Raises:
        DataError: it is damaged, or holds no weights.
    """
    reader = Reader(folder)
    held = reader.read_metadata().state_dict_metadata
    prefix = AVERAGED if any(key.startswith(AVERAGED) for key in held) else CURRENT
    # Asked for by key, tensors alone: whatever else was saved would be unpickled.
    state: dict[str, Any] = {
        key: torch.empty(meta.size, dtype=meta.properties.dtype)
        for key, meta in held.items()
        if key.startswith(prefix) and isinstance(meta, TensorStorageMetadata)
    }
    if not state:
        raise DataError(f"{folder} holds no weights of a student: its keys begin {sorted(held)[:3]}")
    try:
        load(state, storage_reader=reader, no_dist=True)
    except (OSError, RuntimeError, ValueError) as e:
        raise DataError(f"{folder} cannot be read ({type(e).__name__}: {e}). Take the checkpoint before it.") from e
    return {key.removeprefix(prefix): tensor for key, tensor in state.items()}
