"""What a stage writes of itself: what decides its bytes, and what it came to be."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import siglino_core
from siglino_core.hashing import fingerprint

MANIFEST, PLAN = "manifest.json", "plan.json"
Shard = dict[str, Any]  # {"name": ..., "kind": ..., and whatever its stage needs to do it}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What decides a stage's bytes: its code's version, its config, and its inputs' digests.

    Worker counts, batch sizes and paths of the run never belong here.
    """

    stage: str
    version: int
    config: dict[str, Any]
    inputs: dict[str, str]

    @property
    def fingerprint(self) -> str:
        return fingerprint(dataclasses.asdict(self))

    def differences(self, other: dict[str, Any]) -> list[str]:
        """What differs from a stored identity, as ``key: theirs there, ours here``."""
        ours, theirs = _flat(dataclasses.asdict(self)), _flat(other)
        return [
            f"{key.removeprefix('config.')}: {theirs.get(key, 'unset')!r} there, {ours.get(key, 'unset')!r} here"
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key) != theirs.get(key)
        ]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A finished stage: what it holds, what made it, and how long that took."""

    stage: str
    fingerprint: str
    identity: dict[str, Any]
    digest: str
    shards: int
    rows: int
    rejects: dict[str, int]
    seconds: float  # of work, summed over shards
    wall_seconds: float  # by the clock, of the invocation that finished it
    state: str  # what that invocation found: Computed (nothing) or Resumed (a part)
    finished: str  # UTC
    files: dict[str, list[Any]]
    facts: dict[str, Any] = field(default_factory=dict)
    extras: dict[str, list[Any]] = field(default_factory=dict)  # files that are no part of the digest, like ``files``
    software: str = f"siglino {siglino_core.__version__}"


def is_own(name: str, record: dict[str, Any], stage: str) -> bool:
    """Whether a whole record is what its name says, a stage's plan or its manifest, and this stage's."""
    if name == MANIFEST:
        return record.get("stage") == stage and isinstance(record.get("files"), dict)
    identity = record.get("identity")
    return isinstance(record.get("shards"), list) and isinstance(identity, dict) and identity.get("stage") == stage


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flat(item, f"{prefix}{key}.") if isinstance(item, dict) else {f"{prefix}{key}": item}
    return flat
