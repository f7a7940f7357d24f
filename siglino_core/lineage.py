"""From an image of a run back to its bytes and to where it came from."""

from collections.abc import Container, Iterator
from typing import Any

from siglino_core.store import Stage


def duplicate_rows(source: Stage, shard: str) -> set[int]:
    """Rows of a source shard that are exact copies of an earlier image."""
    return set()


def image_rows(source: Stage, shard: str, *, skip: Container[int] = ()) -> Iterator[tuple[int, dict[str, Any]]]:
    raise NotImplementedError
