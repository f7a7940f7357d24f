"""SHA256SUMS of an exported folder: what its files were, as `sha256sum -c` reads it."""

import hashlib
from pathlib import Path

from siglino_core.errors import DamagedError

SUMS = "SHA256SUMS"
READ = ("config.json", "preprocessor_config.json", ".safetensors")  # ends of files that a model is loaded from


def write(folder: Path) -> None:
    """List a folder's files with their hashes."""
    lines = [f"{_sum(path)}  {path.name}" for path in sorted(folder.iterdir()) if path.name != SUMS]
    (folder / SUMS).write_text("\n".join(lines) + "\n", encoding="utf-8")


def require_as_exported(folder: Path, source: str) -> None:
    """Refuse an exported folder whose model is not what was written; one without a list is taken as it is.

    Raises:
        DamagedError: a file is gone or changed, or the list itself.
    """
    if not (folder / SUMS).is_file():
        return
    try:
        lines = [line.split("  ", 1) for line in (folder / SUMS).read_text(encoding="utf-8").splitlines()]
        sums = {name: digest for digest, name in lines}
    except ValueError as e:
        raise DamagedError(f"{source}: {SUMS} is damaged. Export the model again.") from e
    for name, digest in sums.items():
        path = folder / name
        if name.endswith(READ) and (not path.is_file() or _sum(path) != digest):
            raise DamagedError(
                f"{source}: {name} is not what was exported. Export the model again; if you changed it yourself, take "
                f"its line out of {SUMS}."
            )


def _sum(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
