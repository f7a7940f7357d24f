"""Whether files hold what was committed: SHA-256, streamed, several files at once."""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from siglino_core.errors import StoreError
from siglino_core.store.files import Files, reported

CHUNK = 4 << 20
Entries = Mapping[str, Sequence[Any]]  # [bytes, SHA-256] of a file, by its name


def entry(files: Files, name: str) -> list[Any]:
    """The bytes and the SHA-256 of a file, as commit records have them."""
    digest, size = hashlib.sha256(), 0
    with reported(f"{files.url}/{name}"), files.open(name) as f:
        while chunk := f.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return [size, digest.hexdigest()]


def is_intact(files: Files, name: str, committed: Sequence[Any]) -> bool:
    """Whether a file is there and is the one that was committed.

    Raises:
        StoreError: the store cannot say.
    """
    try:
        return entry(files, name) == list(committed)
    except StoreError as e:
        if isinstance(e.__cause__, FileNotFoundError):
            return False
        raise


def damaged(files: Files, entries: Entries, seen: Callable[[str], None] = lambda name: None) -> Iterator[str]:
    """The names of those that are gone or changed, in the order of ``entries``.

    Args:
        seen: told of every file that was looked at.
    """
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:  # hashing lets go of the interpreter
        for name, intact in zip(entries, pool.map(lambda n: is_intact(files, n, entries[n]), entries), strict=True):
            seen(name)
            if not intact:
                yield name
