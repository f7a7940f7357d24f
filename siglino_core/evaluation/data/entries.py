"""Splits that a list of files makes: what each image is, told elsewhere; the image read when its turn comes."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from siglino_core.errors import StoreError, UnreadableError
from siglino_core.evaluation.data.sample import EvalSample, Unit, Unreadable
from siglino_core.pools.location import Location, public_url
from siglino_core.store.files import is_local

ROWS = 512  # entries of a unit
MAX_BYTES = 64 << 20  # of an image, as the pools have it
WINDOW = 32  # images that are read ahead of their use


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One image of a list.

    Attributes:
        file: its path below the location, or one of its own: absolute, or a URL.
        size: of the file in bytes; -1: unknown, or there is no such file.
    """

    sample_id: str
    file: str
    label: str | None = None
    captions: tuple[str, ...] = ()
    size: int = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class EntrySplit:
    """A split by a list of files.

    A copy that is sent to another process leaves the list behind; there :meth:`units` would read it again.

    Attributes:
        load: reads the list; it may be pickled.
        passed: what the list left out, by what it is.
        per_unit: entries of a unit, at most.
    """

    location: Location
    load: Callable[[], Sequence[Entry]]
    identity: str
    classes: Sequence[str] = ()
    passed: Counter[str] = field(default_factory=Counter)
    per_unit: int = ROWS

    def in_units_of(self, rows: int) -> "EntrySplit":
        """The same split in pieces of so many entries."""
        same = replace(self, per_unit=rows)
        same.__dict__["entries"] = self.entries
        return same

    @cached_property
    def entries(self) -> Sequence[Entry]:
        return self.load()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "entries"}

    def units(self) -> list[Unit]:
        """Pieces of work, each with all that is known of its images."""
        rows = [[e.sample_id, e.file, e.label, list(e.captions)] for e in self.entries]
        parts = [rows[start : start + self.per_unit] for start in range(0, len(rows), self.per_unit)]
        return [{"entries": part, "rows": len(part)} for part in parts]

    def read(self, unit: Unit) -> Iterator[EvalSample | Unreadable]:
        """The samples of a unit, in the list's order.

        Raises:
            StoreError: the store does not answer.
        """
        entries = unit["entries"]
        for start in range(0, len(entries), WINDOW):
            window = entries[start : start + WINDOW]
            contents = read_files(self.location, [file for _, file, _, _ in window])
            for (sample_id, _, label, captions), data in zip(window, contents, strict=True):
                known = {"sample_id": sample_id, "label": label, "captions": tuple(captions)}
                if isinstance(data, bytes):
                    yield EvalSample(data=data, **known)
                else:
                    yield Unreadable(reason=data[0], error=data[1], **known)


def read_files(location: Location, names: Sequence[str], most: int = MAX_BYTES) -> Iterator[bytes | tuple[str, str]]:
    """The contents of files in order, or (reason, error) of one that cannot be had; remote ones side by side.

    Raises:
        StoreError: the store does not answer.
    """

    def one(name: str) -> bytes | tuple[str, str]:
        where, name = located(location, name)
        try:
            data = where.read(name, most)
        except UnreadableError as e:
            return "unreadable", str(e)
        except StoreError as e:
            if not isinstance(e.__cause__, FileNotFoundError | NotADirectoryError | UnicodeEncodeError):
                raise
            return "missing", f"{where.url(name)} is not there"
        if len(data) > most:
            return "too_many_bytes", f"{where.url(name)} has more than {most} bytes"
        return data

    if is_local(location.base) and not any("://" in name for name in names):
        yield from map(one, names)
        return
    with ThreadPoolExecutor(16) as pool:
        yield from pool.map(one, names)


def located(location: Location, name: str) -> tuple[Location, str]:
    """Where a file of a list lies: below the location, or where its own URL or absolute path says."""
    if "://" in name and not name.startswith("file://"):
        base, _, name = name.rpartition("/")
        return Location(base, public_url(base)), name
    name = name.removeprefix("file://")
    if os.path.isabs(name):
        base, _, name = name.rpartition("/")
        return Location(base or "/", base or "/"), name
    return location, name
