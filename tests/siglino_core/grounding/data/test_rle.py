"""Run-length masks: the same bytes as COCO's tools, and nothing decoded that does not add up."""

import numpy as np
import pytest
from faster_coco_eval.core import mask as tools
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from siglino_core.errors import DataError
from siglino_core.grounding.data.rle import MAX_PIXELS, decode, decode_runs, encode, runs_of

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


@given(MASKS)
def test_the_bytes_are_those_of_the_coco_tools_and_come_back(mask_HW: np.ndarray) -> None:
    theirs = tools.encode(np.asfortranarray(mask_HW.astype(np.uint8)))["counts"]
    assert encode(mask_HW) == theirs
    assert np.array_equal(decode(theirs, *mask_HW.shape), mask_HW)
    assert np.array_equal(decode(theirs.decode(), *mask_HW.shape), mask_HW)
    assert np.array_equal(decode_runs(runs_of(mask_HW), *mask_HW.shape), mask_HW)


def test_long_runs_and_falling_runs() -> None:
    mask_HW = np.zeros((700, 900), bool)
    mask_HW[100:650, 3:890] = True
    mask_HW[5, 5] = mask_HW[699, 899] = True
    theirs = tools.encode(np.asfortranarray(mask_HW.astype(np.uint8)))["counts"]
    assert encode(mask_HW) == theirs
    assert np.array_equal(decode(theirs, 700, 900), mask_HW)


def test_runs_go_down_the_columns_and_begin_with_zeros() -> None:
    mask_HW = np.array([[1, 0], [1, 0], [0, 1]], bool)
    assert runs_of(mask_HW) == [0, 2, 3, 1]
    assert runs_of(~mask_HW) == [2, 3, 1]


@pytest.mark.parametrize(
    ("counts", "size", "says"),
    [
        (b"S1", (5, 8), "runs of 35 pixels instead of 40"),
        (b"S1", (5, 6), "from 0 to 30"),
        (b"", (5, 7), "runs of 0 pixels"),
        (b"S", (5, 7), "cut off"),
        (b"\xff", (5, 7), "byte 255 at 0"),
        ("S1é", (5, 7), "'0' to 'o'|byte 63|runs of"),
        (b"oooooooooooo", (5, 7), "more than 8 characters"),
        (b"O", (1, 1), "a run of -1 pixels"),
        (b"0" * 100, (1, 1), "number 5"),
        (b"1", (0, 4), "1 to"),
        (b"1", (MAX_PIXELS, 2), "1 to"),
    ],
)
def test_what_does_not_add_up_is_refused(counts: bytes | str, size: tuple[int, int], says: str) -> None:
    with pytest.raises(DataError, match=says):
        decode(counts, *size)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_mask_or_an_error(counts: bytes) -> None:
    try:
        mask_HW = decode(counts, 6, 9)
    except DataError:
        return
    assert mask_HW.shape == (6, 9)
    assert np.array_equal(decode(encode(mask_HW), 6, 9), mask_HW)


@pytest.mark.parametrize("runs", [[True, 3], [-1, 5], [2.0, 2], [1 << 70], ["4"]])
def test_runs_are_whole_numbers(runs: list) -> None:
    with pytest.raises(DataError, match="whole numbers"):
        decode_runs(runs, 2, 2)


@pytest.mark.parametrize("mask", [np.zeros((2, 2), np.uint8), np.zeros(4, bool), np.zeros((0, 3), bool)])
def test_no_mask_is_no_code(mask: np.ndarray) -> None:
    with pytest.raises(DataError, match="bool"):
        encode(mask)
