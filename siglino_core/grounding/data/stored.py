"""Images with expressions in Parquet files (`siglino_core.schema.GROUNDING`), in pieces that a worker reads alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from siglino_core import schema
from siglino_core.errors import DataError
from siglino_core.evaluation.data.annotations import named
from siglino_core.grounding.data.left_out import NOBODY, Item, Without, filtered
from siglino_core.grounding.data.table import sifted
from siglino_core.hashing import fingerprint
from siglino_core.pools.location import damaged, find
from siglino_core.pools.parquet import FOOTERS_AT_ONCE, batches
from siglino_core.store.files import reported

SUFFIX = ".parquet"
Unit = dict[str, Any]


class Stored:
    """The rows of a Parquet file, or of all those of a folder: those that lie in it, or else those below."""

    def __init__(self, uri: str) -> None:
        """List them.

        Raises:
            ConfigError, DataError: it is no place that can be read, or no Parquet file is there.
            StoreError: the store does not answer.
        """
        with named("uri"):
            self._location, listing = find(uri)
        below = {name: size for name, size in listing.sizes.items() if name.endswith(SUFFIX)}
        self._sizes = {name: size for name, size in below.items() if "/" not in name} or below
        if not self._sizes:
            raise DataError(f"uri={self._location.public}: no Parquet file is among its {len(listing.sizes)} files.")

    @property
    def listing(self) -> str:
        """What there is, in a line that changes with any name or size."""
        return f"{len(self._sizes)} files, listing {fingerprint(list(self._sizes.items()))}"

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self._sizes.values())

    def units(self, rows: int, limit: int = 0) -> list[Unit]:
        """Pieces of at most so many rows, each with its ``start``, ``stop`` and ``reads`` of [file, start, stop].

        A row group of more rows is split into equal parts; smaller ones stay whole and share a piece. The footers
        alone are read.

        Args:
            limit: only so many rows, the first; 0: all.

        Raises:
            DataError: a file is no Parquet file, or has other columns.
            StoreError: a file is gone, or the store does not answer.
        """
        units: list[Unit] = []
        left = limit or 1 << 62
        with ThreadPoolExecutor(FOOTERS_AT_ONCE) as pool:
            for name, groups in zip(self._sizes, pool.map(self._row_groups, self._sizes), strict=True):
                at = 0
                for part in (p for group in groups for p in _split(group, rows)):
                    part = min(part, left)
                    if part and (not units or units[-1]["stop"] - units[-1]["start"] + part > rows):
                        start = units[-1]["stop"] if units else 0
                        units.append({"start": start, "stop": start, "reads": []})
                    if part:
                        units[-1]["reads"].append([name, at, at + part])
                        units[-1]["stop"] += part
                    at, left = at + part, left - part
        return units

    def read(self, unit: Unit, without: Without = NOBODY) -> Iterator[Item]:
        """The images of a piece, and what of them cannot be used.

        Raises:
            DataError: a file is damaged, or has changed since it was listed.
            StoreError: a file is gone, or the store does not answer.
        """
        for name, start, stop in unit["reads"]:
            url, found = self._location.url(name), 0
            with reported(url), damaged(url), self._location.parquet(name) as file:
                for _, batch in batches(file, schema.GROUNDING.names, start, stop):
                    found += batch.num_rows
                    yield from filtered(sifted(pa.Table.from_batches([batch]), url), without)
            if found < stop - start:
                raise DataError(f"{url} has changed: rows {start} to {stop} were planned, and {found} are there.")

    def _row_groups(self, name: str) -> list[int]:
        url = self._location.url(name)
        with self._location.parquet(name) as file:
            schema.check(file.schema_arrow.empty_table(), schema.GROUNDING, url)
            return [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]


def _split(rows: int, most: int) -> list[int]:
    """``rows`` in as few parts as fit ``most``, as equal as can be."""
    parts = -(-rows // most)
    return [rows * (i + 1) // parts - rows * i // parts for i in range(parts)]
