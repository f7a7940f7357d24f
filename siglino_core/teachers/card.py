"""What a run must know of an encoder before any network is built: a finished run is then told so without one."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from siglino_core.teachers.preprocess import Preprocess


@dataclass(frozen=True, kw_only=True)
class Card:
    """An encoder's pixels, its width, and an identity: two encoders of one identity give the same features."""

    identity: str
    preprocess: Preprocess
    dim: int


def files_hash(files: Sequence[Path]) -> str:
    """SHA-256 over names and bytes of files in their order, first 32 hex digits."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as f:
            digest.update(f"{path.name} {hashlib.file_digest(f, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:32]
