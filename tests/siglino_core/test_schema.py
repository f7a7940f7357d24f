"""Schemas: a sentence on every column, and a check that names the column and what is wrong with it."""

import pyarrow as pa
import pytest

from siglino_core import schema
from siglino_core.encoders.card import Card
from siglino_core.errors import DataError

TEACHERS = [
    Card(name="dense", dim=4, identity="0", registers=2),
    Card(name="flat", dim=3, identity="1", patches=False),
]
EVERY = {
    "source": schema.SOURCE,
    "rejects": schema.REJECTS,
    "duplicates": schema.DUPLICATES,
    "embed": schema.embed(4),
    "centroids": schema.centroids(4),
    **{f"assignments-{n}": schema.assignments(n) for n in (1, 4)},
    **{f"sample-{n}": schema.sample(n) for n in (1, 3)},
    "clusters": schema.clusters(2),
    "images": schema.images(2),
    "index": schema.index(2),
    "grounding": schema.GROUNDING,
    "grounding-index": schema.GROUNDING_INDEX,
    "answers": schema.ANSWERS,
    **{f"targets-{keep}": schema.targets(TEACHERS, keep) for keep in ("summary", "int8")},
    "targets-index": schema.targets_index(schema.targets_columns(TEACHERS, "bf16")),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_column_is_documented(name: str) -> None:
    for field in EVERY[name]:
        doc = (field.metadata or {}).get(b"doc", b"").decode()
        assert len(doc.split()) >= 1
        assert doc != field.name
    assert len(set(EVERY[name].names)) == len(EVERY[name].names)


def test_targets_hold_what_the_teachers_give_and_the_choice_keeps() -> None:
    assert schema.targets_columns(TEACHERS, "summary") == ["dense_summary", "flat_summary"]
    dense = ["dense_summary", "dense_registers", "dense_patches", "flat_summary"]
    assert schema.targets_columns(TEACHERS, "fp8") == dense
    assert schema.targets(TEACHERS, "fp8").field("dense_registers").type == pa.list_(pa.float16(), 8)


def embed_table(**change: pa.Array) -> pa.Table:
    columns = {
        "image_id": pa.array(["a", "b"]),
        "row": pa.array([0, 1], pa.int32()),
        "embedding": pa.array([[1, 2, 3, 4]] * 2, pa.list_(pa.float16(), 4)),
    }
    return pa.table(columns | change)


def test_a_table_that_fits_gets_the_documents_and_the_order() -> None:
    extra = embed_table(more=pa.array([1, 2])).select(["more", "embedding", "row", "image_id"])
    checked = schema.check(extra, schema.embed(4), "embed")
    assert checked.schema.equals(schema.embed(4), check_metadata=True)
    assert checked.to_pydict() == embed_table().to_pydict()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (embed_table().drop_columns(["row", "embedding"]), "lacks the column(s) row, embedding; it has image_id"),
        (embed_table(row=pa.array([0, 1])), "part-1: column row is int64, expected int32"),
        (
            embed_table(embedding=pa.array([[1.0] * 3] * 2, pa.list_(pa.float16(), 3))),
            "column embedding is fixed_size_list<item: halffloat>[3], expected fixed_size_list<item: halffloat>[4]",
        ),
        (embed_table(image_id=pa.array(["a", None])), "part-1: column image_id holds 1 nulls"),
    ],
)
def test_a_fault_names_the_column(table: pa.Table, said: str) -> None:
    with pytest.raises(DataError) as caught:
        schema.check(table, schema.embed(4), "part-1")
    assert said in str(caught.value)


def test_nulls_where_they_may_be() -> None:
    columns = {"level_1": [None], "image_id": ["a"], "kept": [False], "repeat": [0], "reason": ["rejected"]}
    table = pa.table({**columns, "duplicate_of": [None]}, schema=schema.sample(1))
    assert schema.check(table, schema.sample(1), "sample").num_rows == 1
