"""Arrays as metrics take them: from numpy or torch, of any float type, checked, of length 1, in blocks.

Legend: N rows, D width, C classes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from siglino_core.errors import DataError

Array = Any  # a numpy array, a torch tensor on any device, or nested lists
CELLS = 1 << 24  # numbers in memory at once


def plain(values: Array) -> np.ndarray:
    """As a numpy array, without a copy where it is one; bf16 and fp16, which metrics never compute in, as fp32."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() and values.itemsize < 4 else values).numpy()
    found = np.asarray(values)
    if found.dtype == np.float16 or found.dtype.name == "bfloat16":
        return found.astype(np.float32)
    return found


def matrix(values: Array, what: str, *, infinite: bool = False) -> np.ndarray:
    """fp32 or fp64 [N, D]; fp64 stays, all else becomes fp32.

    Args:
        what: its name in an error, in the plural.
        infinite: -inf may be among the numbers, as in scores of what cannot be.

    Raises:
        DataError: another shape, or a row that is not finite.
    """
    found_ND = plain(values)
    if found_ND.ndim != 2:
        raise DataError(f"{what} of shape {found_ND.shape}: they need two dimensions")
    found_ND = found_ND if found_ND.dtype == np.float64 else found_ND.astype(np.float32, copy=False)
    for rows in blocks(len(found_ND), found_ND.shape[1]):
        part = found_ND[rows]
        good = np.isfinite(part) | (infinite & (part == -np.inf))
        if not good.all():
            row = rows.start + int((~good.all(1)).argmax())
            raise DataError(f"row {row} of {what} is not finite: the network's numbers overflowed there")
    return found_ND


def unit(values: Array, what: str = "features", *, dtype: type = np.float32) -> np.ndarray:
    """Rows scaled to length 1, fp32 [N, D] unless ``dtype`` says fp64; lengths are summed in fp64.

    Raises:
        DataError: as :func:`matrix`, or a row of zeros, which has no direction.
    """
    found_ND = matrix(values, what)
    out_ND = np.empty(found_ND.shape, dtype)
    for rows in blocks(*found_ND.shape):
        part = found_ND[rows].astype(np.float64)
        largest = np.abs(part).max(1, initial=0, keepdims=True)
        if not largest.all():
            row = rows.start + int((largest == 0).argmax())
            raise DataError(f"row {row} of {what} is all zeros: it has no direction to compare")
        part /= largest  # so that no square overflows or vanishes
        out_ND[rows] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return out_ND


def class_ids(labels: Array, what: str, *, rows: int, num_classes: int | None = None) -> np.ndarray:
    """Class numbers, int64 [N].

    Args:
        rows: how many there must be.
        num_classes: all are below it; None: any.

    Raises:
        DataError: another shape, no whole numbers, or one out of range.
    """
    found_N = plain(labels)
    if found_N.shape != (rows,):
        raise DataError(f"{what} of shape {found_N.shape} for {rows} rows: each row needs one")
    if rows and not np.issubdtype(found_N.dtype, np.integer):
        raise DataError(f"{what} of type {found_N.dtype}: they need whole numbers")
    found_N = found_N.astype(np.int64)
    wrong_N = (found_N < 0) | (found_N >= (np.iinfo(np.int64).max if num_classes is None else num_classes))
    if wrong_N.any():
        row = int(wrong_N.argmax())
        limit = "0 or more" if num_classes is None else f"0 to {num_classes - 1}"
        raise DataError(f"{what} say {found_N[row]} in row {row}: a class is {limit}")
    return found_N


def same_width(first_ND: np.ndarray, second_MD: np.ndarray, what: str) -> None:
    """Raises DataError if the widths differ."""
    if first_ND.shape[1] != second_MD.shape[1]:
        raise DataError(f"{what} are {first_ND.shape[1]} and {second_MD.shape[1]} wide: they need one space")


def blocks(rows: int, width: int, *, cells: int = 0) -> Iterator[slice]:
    """Slices over ``rows`` such that a block of ``width`` columns has at most ``cells`` numbers, or one row."""
    step = max(1, (cells or CELLS) // max(1, width))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def cosines(first_ND: np.ndarray, second_MD: np.ndarray) -> np.ndarray:
    """Products of unit rows, fp32 [N, M]: computed in fp64 and then rounded.

    Whatever order a library sums in, and wherever a row lies in a block, equal vectors then have equal similarities:
    in fp32 the last digit would decide ties.
    """
    return (first_ND.astype(np.float64, copy=False) @ second_MD.astype(np.float64, copy=False).T).astype(np.float32)
