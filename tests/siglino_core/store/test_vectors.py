"""Vectors in and out of Arrow: the same bits, whatever the chunks, slices and types."""

import numpy as np
import pyarrow as pa
import pytest

from siglino_core.store.vectors import from_column, to_column


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_there_and_back(kind: type) -> None:
    vectors = np.random.default_rng(0).normal(size=(7, 5)).astype(kind)
    column = to_column(vectors)
    assert column.type == pa.list_(pa.from_numpy_dtype(kind), 5)
    assert np.array_equal(from_column(column), vectors)
    assert from_column(column).dtype == kind
    assert np.array_equal(from_column(to_column(vectors[::2, ::-1])), vectors[::2, ::-1])


def test_chunks_and_slices() -> None:
    vectors = np.arange(40, dtype=np.float32).reshape(10, 4)
    chunks = pa.chunked_array([to_column(vectors[:3]), to_column(vectors[3:3]), to_column(vectors[3:])])
    assert np.array_equal(from_column(chunks), vectors)
    assert np.array_equal(from_column(chunks.slice(2, 5)), vectors[2:7])
    assert np.array_equal(from_column(chunks.take(pa.array([9, 0]))), vectors[[9, 0]])
    assert from_column(chunks.slice(0, 0)).shape == (0, 4)
    none = from_column(pa.chunked_array([], pa.list_(pa.float16(), 4)))
    assert (none.shape, none.dtype) == ((0, 4), np.float16)
