"""The samples' columns: documented, and what is no sample is refused."""

import pyarrow as pa
import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.results.columns import SAMPLES, checked_samples, samples_table
from tests.siglino_core.evaluation.made import samples

ROW = {"network": "n", "view": "v", "metric": "top1", "sample_id": "a", "image_id": "i", "correct": 1.0}


def test_every_column_has_a_sentence() -> None:
    for field in SAMPLES:
        assert len(field.metadata[b"doc"]) > 15, field.name


def test_rows_become_a_table_with_nulls_for_what_they_lack() -> None:
    table = samples_table([ROW, {**ROW, "sample_id": "b", "rank": 3, "group": "g"}])
    assert table.schema.names == SAMPLES.names
    assert table.column("rank").to_pylist() == [None, 3]
    assert table.column("group").to_pylist() == [None, "g"]


def test_no_rows_are_a_table() -> None:
    assert len(samples_table([])) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"correct": float("nan")}, "correct holds 1 values that are no finite number"),
        ({"score": float("inf")}, "score holds 1 values"),
        ({"correct": None}, "column correct holds 1 nulls"),
        ({"rank": 0}, "column rank holds 0, but the first place is 1"),
    ],
)
def test_what_is_no_sample_is_refused(change: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        samples_table([{**ROW, "sample_id": "b"}, {**ROW, **change}])


def test_a_sample_counts_once_in_a_series_but_may_be_in_several() -> None:
    samples_table([ROW, {**ROW, "metric": "top5"}, {**ROW, "view": "w"}])
    with pytest.raises(DataError, match="sample a is there 2 times for n v top1"):
        samples_table([ROW, ROW])


def test_a_column_of_another_type_is_named() -> None:
    table = samples([1, 0])
    at = table.schema.get_field_index("correct")
    wrong = table.set_column(at, "correct", pa.array([True, False]))
    with pytest.raises(DataError, match="x: column correct is bool, expected double"):
        checked_samples(wrong, "x")
    with pytest.raises(DataError, match=r"lacks the column\(s\) correct"):
        checked_samples(table.drop_columns(["correct"]), "x")


def test_further_columns_are_left_out() -> None:
    table = samples([1, 0]).append_column("more", pa.array([1, 2]))
    assert checked_samples(table, "x").schema.names == SAMPLES.names
