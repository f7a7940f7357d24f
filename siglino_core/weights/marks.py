"""The mark of a training checkpoint: what makes a folder one, and what its files were when they were written."""

from typing import Any

from siglino_core.errors import DamagedError, DataError
from siglino_core.store import Files
from siglino_core.store.intact import Entries, damaged, entry
from siglino_core.store.sealed import sealed

MARK = "checkpoint.json"
INSTEAD = "Take another checkpoint, e.g. the one before it."


def mark(folder: Files, about: dict[str, Any]) -> None:
    """Make a folder a checkpoint, last of all: the mark has the length and SHA-256 of every file beside it."""
    files = {name: entry(folder, name) for name in folder.sizes() if name != MARK}
    folder.put(MARK, sealed({**about, "files": files}))


def entries(about: dict[str, Any], prefix: str = "") -> dict[str, list[Any]]:
    """What a mark says of its checkpoint's files, whose names get a prefix."""
    return {f"{prefix}{name}": list(said) for name, said in about["files"].items()}


def spoilt(folder: Files, held: Entries) -> list[str]:
    """Names of a checkpoint's files that are gone or hold other bytes than the mark says, of those that are given."""
    return list(damaged(folder, held))


def require_whole(folder: Files) -> None:
    """Refuse a checkpoint that is not what was written.

    Raises:
        DataError: it has no mark: it was never finished, or is no training's.
        DamagedError: a file is gone or changed, or the mark itself.
        ConfigError: an earlier version wrote it.
    """
    about = folder.read_record(MARK, mend=INSTEAD)
    if about is None:
        raise DataError(f"{folder.url} has no {MARK}: its training did not finish it. {INSTEAD}")
    if bad := spoilt(folder, about["files"]):
        raise DamagedError(f"{folder.url} is damaged: {', '.join(bad)} not what was written, or gone. {INSTEAD}")
