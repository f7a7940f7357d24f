"""Vectors in and out of Arrow columns, without a copy where the layout allows it."""

import numpy as np
import pyarrow as pa


def to_column(vectors_ND: np.ndarray) -> pa.FixedSizeListArray:
    """Vectors [N, D] as a fixed-size-list column of their own type."""
    flat = pa.array(np.ascontiguousarray(vectors_ND).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors_ND.shape[1])


def from_column(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A fixed-size-list column as an array [N, D]."""
    dim = column.type.list_size
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [c.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim) for c in chunks]
    if not parts:
        return np.empty((0, dim), column.type.value_type.to_pandas_dtype())
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
