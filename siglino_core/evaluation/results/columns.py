"""The columns of ``samples/<task>/<dataset>.parquet``: what each sample says, with a sentence on every column."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core.errors import DataError
from siglino_core.schema import check


def _column(name: str, kind: pa.DataType, doc: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


SAMPLES = pa.schema(
    [
        _column("network", pa.string(), "network's name in the evaluation"),
        _column("view", pa.string(), "which of its features, as the result has it"),
        _column("metric", pa.string(), "which number the row is about, such as top1 or text_to_image_recall@1"),
        _column("sample_id", pa.string(), "sample of the data set; a caption is its image's id and its number"),
        _column("image_id", pa.string(), "SHA-256 of the encoded image's bytes, first 32 hex digits; empty: unread"),
        _column("correct", pa.float64(), "what the mean is over: 0 or 1, an IoU, a reciprocal rank"),
        _column("score", pa.float64(), "of what was predicted: a cosine, a vote, a probability", nullable=True),
        _column("predicted", pa.string(), "class or id that was predicted", nullable=True),
        _column("label", pa.string(), "what would have been right", nullable=True),
        _column("rank", pa.int64(), "place of what is right, 1 is the first; ties count against", nullable=True),
        _column("group", pa.string(), "rows of one group are not independent, as captions of one image", nullable=True),
    ]
)
"""One sample for one view of one network a row. Sanity rows have no samples."""

KEY = ("network", "view", "metric")  # of a series: rows with distinct sample ids


def samples_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table of :data:`SAMPLES`; a key that a row lacks is null.

    Raises:
        DataError: as :func:`checked_samples`.
    """
    rows = list(rows)
    arrays = [pa.array([row.get(f.name) for row in rows], type=f.type) for f in SAMPLES]
    return checked_samples(pa.table(arrays, schema=SAMPLES), "samples")


def checked_samples(table: pa.Table, what: str) -> pa.Table:
    """The table with the schema's columns alone.

    Args:
        what: its name in the error.

    Raises:
        DataError: a column is missing or of another type, ``correct`` or ``score`` is no number, a rank is below 1, or
            a sample is there twice.
    """
    table = check(table, SAMPLES, what)
    for name in ("correct", "score"):
        wrong = int((~np.isfinite(table.column(name).drop_null().to_numpy())).sum())
        if wrong:
            raise DataError(f"{what}: column {name} holds {wrong:,} values that are no finite number")
    ranks = table.column("rank").drop_null().to_numpy()
    if len(ranks) and ranks.min() < 1:
        raise DataError(f"{what}: column rank holds {ranks.min()}, but the first place is 1")
    counts = table.group_by([*KEY, "sample_id"]).aggregate([([], "count_all")])
    if len(counts) < len(table):
        twice = next(row for row in counts.to_pylist() if row["count_all"] > 1)
        raise DataError(
            f"{what}: sample {twice['sample_id']} is there {twice['count_all']} times for {twice['network']} "
            f"{twice['view']} {twice['metric']}; each sample counts once"
        )
    return table


def group_numbers(samples: pa.Table) -> np.ndarray | None:
    """A number a group, int64 [N]; a sample without one is its own. None where no two samples share one."""
    groups = samples.column("group").to_pylist()
    keys = [("sample", i) if g is None else ("group", g) for i, g in enumerate(groups)]
    numbers: dict[tuple[str, object], int] = {}
    numbered = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    return numbered if len(numbers) < len(numbered) else None
