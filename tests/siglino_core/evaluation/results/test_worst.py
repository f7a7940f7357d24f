"""The worst samples of a series: which, and in which order."""

import pyarrow as pa

from siglino_core.evaluation.results.columns import samples_table
from siglino_core.evaluation.results.worst import worst_samples


def made(*rows: tuple[str, float, float | None, int | None, str]) -> pa.Table:
    names = ("sample_id", "correct", "score", "rank", "image_id")
    fixed = {"network": "n", "view": "v", "metric": "top1"}
    return samples_table({**fixed, **dict(zip(names, row, strict=True))} for row in rows)


def test_wrong_and_most_sure_first() -> None:
    table = made(
        ("right", 1, 0.9, 1, "i"),
        ("unsure", 0, 0.2, 2, "i"),
        ("sure", 0, 0.8, 2, "i"),
        ("far", 0, 0.8, 9, "i"),
        ("none", 0, None, None, "i"),
        ("unread", 0, None, None, ""),
    )
    assert [r["sample_id"] for r in worst_samples(table)] == ["far", "sure", "unsure", "none", "right"]
    assert worst_samples(table.take([5, 4, 3, 2, 1, 0])) == worst_samples(table)
    assert [r["sample_id"] for r in worst_samples(table, 2)] == ["far", "sure"]


def test_nothing() -> None:
    assert worst_samples(made()) == []
