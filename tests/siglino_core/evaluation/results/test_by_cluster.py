"""A metric by cluster: who is in which, with the right interval, beside the training's first and last loss."""

import pyarrow as pa
import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.results.by_cluster import by_cluster
from siglino_core.schema import CLUSTER_LOSS
from siglino_core.statistics.bootstrap import mean_interval
from siglino_core.statistics.proportion import wilson
from tests.siglino_core.evaluation.made import samples


def of(correct: list, images: list[str], **more: object) -> pa.Table:
    table = samples(correct, **more)  # pyright: ignore[reportArgumentType]
    at = table.schema.get_field_index("image_id")
    return table.set_column(at, table.schema.field(at), [images])


def losses(*rows: tuple[int, int, int, int, float]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [[]] * 5
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, CLUSTER_LOSS, strict=True)], schema=CLUSTER_LOSS)


def test_rows_are_in_order_and_images_of_no_cluster_are_last() -> None:
    table = of([1, 0, 1, 1, 0], ["a", "b", "c", "d", ""])
    rows = by_cluster(table, {"a": 7, "b": 7, "c": 0, "x": 3})
    assert [(r.cluster, r.images, r.metric.value, r.metric.n) for r in rows] == [
        (0, 1, 1.0, 1),
        (7, 2, 0.5, 2),
        (None, 2, 0.5, 2),
    ]
    assert (rows[1].metric.low, rows[1].metric.high) == (wilson(1, 2).low, wilson(1, 2).high)
    assert {r.metric.method for r in rows} == {"wilson"}
    assert sum(r.metric.n for r in rows) == len(table)


def test_captions_of_one_image_are_drawn_together_and_the_image_counts_once() -> None:
    table = of([1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "d"], groups=["a", "a", "b", "b", "c", "d"])
    grouped, alone = by_cluster(table, {"a": 0, "b": 0, "c": 1, "d": 1})
    expected = mean_interval(table.column("correct").to_numpy()[:4], groups=[0, 0, 1, 1])  # pyright: ignore
    assert (grouped.images, grouped.metric.n, grouped.metric.method) == (2, 4, "bootstrap, clustered by group")
    assert (grouped.metric.low, grouped.metric.high) == (expected.low, expected.high)
    assert alone.metric.method == "wilson"


def test_other_numbers_have_a_bootstrap_and_one_has_no_interval() -> None:
    rows = by_cluster(of([0.2, 0.4, 0.9], ["a", "b", "c"]), {"a": 0, "b": 0, "c": 1})
    assert rows[0].metric.method == "bootstrap"
    assert rows[0].metric.value == pytest.approx(0.3)
    assert (rows[1].metric.low, rows[1].metric.high) == (None, None)


def test_the_first_and_the_last_loss_are_those_of_windows_with_images() -> None:
    table = losses((1, 200, 299, 5, 0.25), (0, 0, 99, 3, 0.9), (1, 100, 199, 2, 0.5), (1, 0, 99, 4, 1.0))
    rows = by_cluster(of([1, 0, 1], ["a", "b", "c"]), {"a": 0, "b": 1, "c": 2}, table)
    assert [(r.trained, r.first_loss, r.last_loss) for r in rows] == [(3, 0.9, 0.9), (11, 1.0, 0.25), (0, None, None)]


def test_nothing() -> None:
    assert by_cluster(samples([]), {}, losses()) == []


def test_several_series_are_refused() -> None:
    two = pa.concat_tables([samples([1]), samples([1], view="dinov3")])
    with pytest.raises(DataError, match="of one view, not of dinov3, siglip2"):
        by_cluster(two, {})
