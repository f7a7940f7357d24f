"""Records of a run, changed as a test wants them and sealed again."""

from pathlib import Path
from typing import Any

from siglino_core.store.sealed import opened, sealed


def read(path: Path) -> dict[str, Any]:
    """What a record says."""
    return opened(path.read_bytes(), str(path))


def edit(path: Path, **changes: Any) -> None:
    """Let a record say something else."""
    path.write_bytes(sealed(read(path) | changes))
