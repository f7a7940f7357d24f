"""The samples that a view does worst on, for people to look at."""

from typing import Any

import pyarrow as pa


def worst_samples(samples: pa.Table, count: int = 24) -> list[dict[str, Any]]:
    """The worst ``count`` rows of one series as plain values: least correct, then most sure, then last in rank.

    Samples that could not be read have no image to look at and are left out. The same rows come out whatever the order.
    """
    rows = [row for row in samples.to_pylist() if row["image_id"]]
    rows.sort(key=lambda r: (r["correct"], -_number(r["score"]), -_number(r["rank"]), r["sample_id"]))
    return rows[:count]


def _number(value: float | None) -> float:
    return float("-inf") if value is None else value
