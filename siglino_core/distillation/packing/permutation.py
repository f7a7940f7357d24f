"""A keyed permutation that is computed where it is needed: no array of all positions, no sort."""

import math

import numpy as np

from siglino_core.hashing import key_of, uniform

ROUNDS = 4


def permute(key: int, size: int, positions_N: np.ndarray, tweak: int | np.ndarray = 0) -> np.ndarray:
    """The images of positions under a permutation of ``range(size)``: int64 [N].

    Args:
        key: from :func:`siglino_core.hashing.key_of`.
        size: 1 to 2^60.
        positions_N: integers [N] from 0 to size - 1, in any order.
        tweak: 0 to 2^32 - 1, one for all or one for each position; every value is another permutation.

    A generalised Feistel network over a x b >= size points that walks on until it lands inside (Black and Rogaway 2002,
    "Ciphers with arbitrary finite domains", section 5). Time is O(N), memory a few times the positions'.
    """
    rows = math.isqrt(size - 1) + 1 if size > 1 else 1
    columns = -(-size // rows)
    keys = [key_of(key, "permutation", r) for r in range(2 * ROUNDS)]
    tweak_N = np.broadcast_to(np.asarray(tweak, np.uint64) << np.uint64(32), positions_N.shape)
    out_N = _network(keys, rows, columns, positions_N.astype(np.uint64), tweak_N)
    while len(outside := np.flatnonzero(out_N >= size)):
        out_N[outside] = _network(keys, rows, columns, out_N[outside], tweak_N[outside])
    return out_N.astype(np.int64)


def _network(keys: list[int], rows: int, columns: int, x_N: np.ndarray, tweak_N: np.ndarray) -> np.ndarray:
    left_N, right_N = np.divmod(x_N, np.uint64(columns))
    for even, odd in zip(keys[::2], keys[1::2], strict=True):
        left_N = _turn(even, rows, left_N, right_N + tweak_N)
        right_N = _turn(odd, columns, right_N, left_N + tweak_N)
    return left_N * np.uint64(columns) + right_N


def _turn(key: int, size: int, half_N: np.ndarray, other_N: np.ndarray) -> np.ndarray:
    """One half moved round by an amount that the other half decides."""
    moved_N = half_N + (uniform(key, other_N) * size).astype(np.uint64)
    return np.where(moved_N >= size, moved_N - np.uint64(size), moved_N)
