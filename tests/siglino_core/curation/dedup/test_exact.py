"""Exact duplicates against a plain reference, for any pool, sharding and number of partitions."""

import hashlib
import tempfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core import schema
from siglino_core.curation.dedup import exact as duplicates
from siglino_core.errors import DataError
from siglino_core.store import Files, Run


def image_ids(values: list[int]) -> list[str]:
    return [hashlib.sha256(str(v).encode()).hexdigest()[:32] for v in values]


def store(shards: list[list[str]], folder: str) -> tuple[Files, list[str]]:
    """Source shards that hold nothing but ids."""
    names = [f"part-{i:05d}" for i in range(len(shards))]
    stage = Run(folder).stage("source")
    for name, ids in zip(names, shards, strict=True):
        with stage.writer(name, "f") as out:
            out.write(f"{name}.parquet", pa.table({"image_id": ids}), pa.schema([schema.IMAGE_ID]))
            out.commit(rows=len(ids))
    return stage.files, names


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(0, 30), max_size=25), max_size=5), st.integers(1, 4))
def test_as_a_plain_loop_finds_them(values: list[list[int]], partitions: int) -> None:
    shards = [image_ids(v) for v in values]
    expected, first = set(), {}
    for s, ids in enumerate(shards):
        for row, i in enumerate(ids):
            if i in first:
                expected.add((i, f"part-{s:05d}", row, *first[i]))
            first.setdefault(i, (f"part-{s:05d}", row))
    with tempfile.TemporaryDirectory() as folder:
        files, names = store(shards, folder)
        found = [duplicates.find(files, names, p, partitions) for p in range(partitions)]
    rows = [tuple(r.values()) for t in found for r in t.to_pylist()]
    assert set(rows) == expected
    assert len(rows) == len(expected)
    for t in found:
        places = [(r["shard"], r["row"]) for r in t.to_pylist()]
        assert places == sorted(places)
        schema.check(t, schema.DUPLICATES, "duplicates")


@pytest.mark.parametrize("partitions", [1, 3, 7, 1000])
def test_partitions_share_the_ids_out(partitions: int) -> None:
    ids = [*image_ids(list(range(3000))), "0" * 32, "f" * 32]
    words = duplicates.words(pa.array(ids), "x")
    count = sum(duplicates.in_partition(words, p, partitions).astype(int) for p in range(partitions))
    assert (count == 1).all()


def test_all_128_bits_of_an_id_count() -> None:
    ids = pa.array(["a" * 32, "a" * 31 + "b", "b" + "a" * 31, "a" * 32])
    copy, kept = duplicates.copies(duplicates.words(ids, "x"))
    assert (copy.tolist(), kept.tolist()) == ([3], [0])
    sliced = pa.chunked_array([ids.slice(1, 2), ids.slice(3)])
    assert np.array_equal(duplicates.words(sliced, "x"), duplicates.words(ids, "x")[1:])


@pytest.mark.parametrize("bad", [["abc"], ["x" * 32], ["a" * 31 + "b", "a" * 33]])
def test_other_ids_are_refused(bad: list[str]) -> None:
    with pytest.raises(DataError, match=r"somewhere: column image_id"):
        duplicates.words(pa.array(bad), "somewhere")
