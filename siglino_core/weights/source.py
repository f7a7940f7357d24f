"""Where a student's weights lie: a local file or folder, a URL, or a hub id."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from siglino_core.errors import ConfigError
from siglino_core.hashing import files_hash, sums_hash
from siglino_core.store.fetched import fetched
from siglino_core.store.files import Files, is_local

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
PATTERNS = ["*config.json", "model*.safetensors*"]  # of what a hub's repository is fetched for
HELD = (".safetensors", ".distcp", ".metadata", ".pt", ".pth", ".bin")  # ends of files that hold tensors


@contextmanager
def local(source: str, only: str = "") -> Iterator[Path]:
    """The file or folder on this machine: a URL's is fetched for the time of use, a hub id's into the hub's cache.

    Args:
        only: of a folder that must be fetched, the one file that is wanted.

    Raises:
        ConfigError: there is nothing of the kind.
        StoreError: the URL's store failed.
    """
    if is_local(source):
        yield _local(source.removeprefix("file://"), [only] if only else PATTERNS)
        return
    folder = Files(source)
    if names := [n for n in folder.sizes() if "/" not in n]:
        with fetched(folder, [n for n in names if only in ("", n)]) as path:
            yield path
        return
    above, _, name = source.rstrip("/").rpartition("/")
    if not Files(above).exists(name):
        raise ConfigError(f"{source}: there is nothing there")
    with fetched(Files(above), [name]) as path:
        yield path / name


def may_be_there(source: str) -> bool:
    """Whether weights may be had: there is such a path, or it is a URL or has the form of a hub id and is no file's.

    Nothing is asked of a store or a hub.
    """
    if not is_local(source) or Path(source.removeprefix("file://")).exists():
        return True
    return bool(_HUB_ID.fullmatch(source)) and not source.endswith(HELD)


def identity(source: str) -> str:
    """A hash of the weights' bytes, and of the config.json beside them; raises as :func:`local`."""
    with local(source) as path:
        if path.is_file():
            return files_hash([path])
        return files_hash(sorted(p for p in path.iterdir() if _decides(p.name)))


def recorded_identity(sums: Mapping[str, str]) -> str:
    """:func:`identity` of a folder of which every file's SHA-256 is known, by name."""
    return sums_hash((name, sums[name]) for name in sorted(sums) if _decides(name))


def _decides(name: str) -> bool:
    return name.endswith(HELD) or name == "config.json"


def _local(source: str, patterns: list[str]) -> Path:
    if Path(source).exists():
        return Path(source)
    if not may_be_there(source):
        raise ConfigError(f"{source}: there is nothing there, and a hub id has the form owner/model")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, allow_patterns=patterns))
    except Exception as e:  # no such id, no access, no network: the hub's own errors, httpx's, OSError
        why = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise ConfigError(f"{source}: there is no such folder, and the hub did not give it. {why}") from e
