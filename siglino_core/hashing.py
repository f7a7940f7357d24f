"""Random numbers that belong to a row, not to the process that draws them.

Every random choice of the curation is a pure function of (seed, purpose, row), so that the number of
workers, the order of shards and a resume cannot change it.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def key_of(*parts: object) -> int:
    """A 64-bit key from any parts, e.g. ``key_of(seed, "seeding", level, round)``."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little")


def uniform(key: int, ids_N: np.ndarray) -> np.ndarray:
    """Uniform numbers in (0, 1), one per id: splitmix64 of the id under ``key``.

    Args:
        key: from :func:`key_of`.
        ids_N: uint64 [N], any ids.

    Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators" (the finaliser).
    """
    with np.errstate(over="ignore"):
        z = ids_N.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def id_bits(image_ids: Any) -> np.ndarray:
    """uint64 [N] from hex image ids: their first 16 digits (uniform, since ids are content hashes)."""
    joined = b"".join(bytes.fromhex(i[:16]) for i in image_ids)
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64)


def fingerprint(value: object) -> str:
    """A short stable hash of anything that JSON can say."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def files_hash(files: Sequence[Path]) -> str:
    """SHA-256 over names and bytes of files in their order, first 32 hex digits."""

    def sum_of(path: Path) -> str:
        with path.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()

    return sums_hash((path.name, sum_of(path)) for path in files)


def sums_hash(sums: Iterable[tuple[str, str]]) -> str:
    """:func:`files_hash` of files whose names and SHA-256 are known."""
    digest = hashlib.sha256()
    for name, known in sums:
        digest.update(f"{name} {known}\n".encode())
    return digest.hexdigest()[:32]
