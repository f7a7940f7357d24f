"""Masks as COCO's run-length code: runs down the columns, beginning with zeros, in 6-bit characters.

Legend: H and W pixels, R runs.
Source: the format of COCO's annotations (Lin et al. 2014). From the fourth run on, what is stored is the difference to
the run two before it; five bits a character, the lowest first.
"""

from collections.abc import Sequence

import numpy as np

from siglino_core.errors import DataError

MAX_PIXELS = 1 << 27  # of one mask
_FIRST, _MORE, _SIGN, _LOW = 48, 0x20, 0x10, 0x1F
_LONGEST = 8  # characters of a number: 40 bits


def encode(mask_HW: np.ndarray) -> bytes:
    """The compressed counts of a mask, as `pycocotools.mask.encode` writes them.

    Args:
        mask_HW: bool [H, W].

    Raises:
        DataError: it is no bool array of two dimensions with pixels.
    """
    if mask_HW.ndim != 2 or mask_HW.dtype != np.bool_ or not mask_HW.size:
        raise DataError(f"a mask of shape {mask_HW.shape} and type {mask_HW.dtype}: it needs bool [height, width]")
    return _packed(runs_of(mask_HW))


def runs_of(mask_HW: np.ndarray) -> list[int]:
    """Lengths of runs of zeros and ones in turn, column by column; the first counts zeros and may be 0."""
    flat = mask_HW.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.concatenate([[0] if flat[0] else [], changes, [flat.size]]).astype(np.int64)
    return np.diff(ends, prepend=0).tolist()


def decode(counts: bytes | str, height: int, width: int) -> np.ndarray:
    """The mask of compressed counts, bool [H, W].

    Raises:
        DataError: they are no counts, or do not add up to H * W pixels.
    """
    data = counts.encode("ascii", "replace") if isinstance(counts, str) else counts
    return decode_runs(_unpacked(data, 2 * _pixels(height, width) + 2), height, width)


def decode_runs(runs: Sequence[int], height: int, width: int) -> np.ndarray:
    """The mask of uncompressed runs, as COCO's crowd regions have them: bool [H, W].

    Raises:
        DataError: a run is no whole number from 0 on, or they do not add up to H * W pixels.
    """
    pixels = _pixels(height, width)
    if not all(type(run) is int and 0 <= run <= pixels for run in runs):
        raise DataError(f"a mask of {width} x {height} pixels: its runs must be whole numbers from 0 to {pixels}")
    if (total := sum(runs)) != pixels:
        raise DataError(f"a mask of {width} x {height} pixels has runs of {total} pixels instead of {pixels}")
    values_R = np.arange(len(runs)) % 2 == 1
    return np.repeat(values_R, np.asarray(runs, np.int64)).reshape((height, width), order="F")


def _pixels(height: int, width: int) -> int:
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise DataError(f"a mask of {width} x {height} pixels: it needs 1 to {MAX_PIXELS} of them")
    return height * width


def _packed(runs: Sequence[int]) -> bytes:
    out = bytearray()
    for i, run in enumerate(runs):
        value, more = run - (runs[i - 2] if i > 2 else 0), True
        while more:
            low = value & _LOW
            value >>= 5
            more = value != (-1 if low & _SIGN else 0)
            out.append(_FIRST + low + _MORE * more)
    return bytes(out)


def _unpacked(data: bytes, most: int) -> list[int]:
    """The runs; each is at most 2^40 here, and there are at most ``most``."""
    runs: list[int] = []
    value = length = 0
    for i, byte in enumerate(data):
        bits = byte - _FIRST
        if not 0 <= bits < 64:
            raise DataError(f"a mask's counts have the byte {byte} at {i}: they are characters from '0' to 'o'")
        value |= (bits & _LOW) << 5 * length
        length += 1
        if length > _LONGEST:
            raise DataError(f"a mask's counts have a number of more than {_LONGEST} characters at {i}")
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << 5 * length
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if runs[-1] < 0 or len(runs) > most:
            raise DataError(f"a mask's counts have a run of {runs[-1]} pixels, number {len(runs)}")
        value = length = 0
    if length:
        raise DataError("a mask's counts end inside a number: they are cut off")
    return runs
