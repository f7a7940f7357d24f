"""A few samples of a split, for a try: the same ones each time, from all over the split."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from siglino_core.evaluation.data.sample import EvalSample, Split, Unit, Unreadable
from siglino_core.hashing import fingerprint, key_of, uniform

LISTS = ("entries", "files", "rows_of")  # where a unit lists its samples one by one
SPANS = "reads"  # where it has [file, first row, end row]
AT_MOST = "at_most"  # so many samples of a unit that has to be read from its front
MOST_SPANS = 64  # in one of Parquet a row costs its row group, so that few long spans are taken


@dataclass(frozen=True, kw_only=True, eq=False)
class Limited:
    """At most ``limit`` samples of a split.

    Where units list their samples, any may be among them, each as likely; of Parquet files, spans of rows; of tars,
    which have to be read from the front, the first samples of some.

    Attributes:
        split: all of it.
    """

    split: Split
    limit: int
    seed: int = 0

    @property
    def identity(self) -> str:
        return fingerprint([self.split.identity, "limit", self.limit, self.seed])

    @property
    def classes(self) -> Sequence[str]:
        return self.split.classes

    @property
    def passed(self) -> Counter[str]:
        found: Counter[str] | None = getattr(self.split, "passed", None)
        return Counter() if found is None else found

    def units(self) -> list[Unit]:
        units = self.split.units()
        if all(any(key in u for key in LISTS) for u in units):
            return _of_lists(units, self.limit, key_of(self.seed, "limit"))
        if all(SPANS in u for u in units):
            return _of_spans(units, self.limit)
        return _of_streams(units, self.limit, key_of(self.seed, "limit"))

    def read(self, unit: Unit) -> Iterator[EvalSample | Unreadable]:
        return islice(self.split.read(unit), unit.get(AT_MOST))


def _of_lists(units: list[Unit], limit: int, key: int) -> list[Unit]:
    """Any samples, chosen by their place in the split."""
    names = [next(key for key in LISTS if key in u) for u in units]
    total = sum(len(u[name]) for u, name in zip(units, names, strict=True))
    order = np.argsort(uniform(key, np.arange(total, dtype=np.uint64)), kind="stable")
    chosen = np.zeros(total, bool)
    chosen[order[:limit]] = True
    kept: list[Unit] = []
    start = 0
    for unit, name in zip(units, names, strict=True):
        items = [item for i, item in enumerate(unit[name], start) if chosen[i]]
        start += len(unit[name])
        if items:
            kept.append({**unit, name: items, "rows": len(items)})
    return kept


def _of_spans(units: list[Unit], limit: int) -> list[Unit]:
    """Spans of rows at equal distances, cut to the units that they fall in."""
    total = sum(u["rows"] for u in units)
    if total <= limit:
        return units
    count = min(limit, MOST_SPANS)
    # Each begins an equal part of the rows, and is as long as that part's share of the limit, which is less than it.
    starts = [total * i // count for i in range(count + 1)]
    ends = [-(-limit * start // total) for start in starts]  # so many rows of the limit before each, rounded up
    spans = [(starts[i], ends[i + 1] - ends[i]) for i in range(count)]
    kept: list[Unit] = []
    start = 0
    for unit in units:
        reads: list[list[Any]] = []
        for name, low, high in unit[SPANS]:
            for first, length in spans:
                begin, end = max(first, start), min(first + length, start + high - low)
                if begin < end:
                    reads.append([name, low + begin - start, low + end - start])
            start += high - low
        if reads:
            kept.append({**unit, SPANS: reads, "rows": sum(stop - begin for _, begin, stop in reads)})
    return kept


def _of_streams(units: list[Unit], limit: int, key: int) -> list[Unit]:
    """The first samples of some units; a unit that holds fewer than its share leaves the whole below the limit."""
    order = np.argsort(uniform(key, np.arange(len(units), dtype=np.uint64)), kind="stable")
    count = min(limit, len(units), MOST_SPANS)
    share = {int(i): limit * (n + 1) // count - limit * n // count for n, i in enumerate(order[:count])}
    return [{**u, AT_MOST: share[i], "rows": min(share[i], u["rows"])} for i, u in enumerate(units) if i in share]
