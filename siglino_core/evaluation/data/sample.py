"""What a reader of a data set yields, and what a reader is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Unit = dict[str, Any]  # what a reader hands out as one piece of work: plain values, and how many ``rows`` at most


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSample:
    """One image of a data set with what is known of it.

    Attributes:
        sample_id: unique within its split, and the same wherever the files lie: a path, a key, a row.
        data: the encoded image.
        label: its class by name.
        captions: all that it has, in order.
        mask: a class number a pixel, as an encoded PNG of 8 or 16 bits; 255 is ignored.
    """

    sample_id: str
    data: bytes
    label: str | None = None
    captions: tuple[str, ...] = ()
    mask: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A sample of the data set whose image or mask cannot be had; what is known of it stays, so that it counts."""

    sample_id: str
    reason: str
    error: str
    label: str | None = None
    captions: tuple[str, ...] = ()


class Split(Protocol):
    """A split of a data set: units of work, which one process or many read, each sample exactly once.

    It may be pickled. Units are made without opening images, in an order that depends on the files alone.

    Attributes:
        identity: changes with whatever changes the samples: names, sizes, settings.
        classes: their names in the order of their numbers, where the files tell them; else empty.
    """

    @property
    def identity(self) -> str: ...

    @property
    def classes(self) -> Sequence[str]: ...

    def units(self) -> list[Unit]: ...

    def read(self, unit: Unit) -> Iterator[EvalSample | Unreadable]: ...
