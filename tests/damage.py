"""Bytes as a bad disk, a killed writer or an unkind hand leaves them."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

HUGE = (b"9" * 400, b"-1", b"1e999", b"4294967296", b"9223372036854775808", b"0", b"0.5")
WORDS = (b"null", b"true", b"[]", b"{}", b'"x"', b"NaN", b"[" * 3000, b'{"a":' * 3000, b"\xff\xfe", b"\0" * 64)


def flip(path: Path, bit: int) -> None:
    """Turn one bit of a file; twice is as if nothing had been."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(data)


def damaged(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """So many other bytes: flipped, cut, filled, doubled, and with other numbers and types where it is text."""
    rng = random.Random(seed)
    while count:
        bad = _once(bytearray(data), rng)
        if bad != data:
            count -= 1
            yield bad


def _once(data: bytearray, rng: random.Random) -> bytes:
    at, length = rng.randrange(len(data)), rng.choice([1, 1, 2, 8, 64])
    match rng.randrange(8):
        case 0 | 1:
            for _ in range(rng.choice([1, 1, 1, 8])):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 2:
            del data[at:]
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = rng.randbytes(length)
        case 5:
            data[at : at + length] = b"\xff" * length if rng.random() < 0.5 else bytes(length)
        case 6:
            data[at:at] = data[at : at + length]
        case _:
            numbers = [m.span() for m in re.finditer(rb"\d+(\.\d+)?", data)] or [(at, at + 1)]
            start, stop = rng.choice(numbers)
            data[start:stop] = rng.choice(HUGE + WORDS)
    return bytes(data)
