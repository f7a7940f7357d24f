"""Random numbers by row: known values, uniform, and independent of everything but seed, purpose and row."""

import numpy as np
import pytest
from scipy import stats

from siglino_core.hashing import fingerprint, id_bits, key_of, uniform


def test_known_answers() -> None:
    assert key_of(0, "seeding", 1, 2) == 2894174971714645834
    assert key_of("a", "b") != key_of("ab") != key_of("a", "b", "")
    got = uniform(key_of(0, "pick"), np.array([0, 1, 2, 2**64 - 1], np.uint64))
    assert got.tolist() == [0.7907343257555783, 0.18890804364406294, 0.09912428758303732, 0.06977764286589366]
    assert fingerprint({"b": [1, 2.5, None], "a": "ä"}) == "4b12564ba8344d191c82cc500017c218"
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_splitmix64_as_published() -> None:
    # The generator's first outputs from state 0 (Vigna's splitmix64.c) are ours of ids 1, 2, 3 under key 0.
    first = np.array([0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F], np.uint64)
    expected = ((first >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    assert np.array_equal(uniform(0, np.arange(1, 4, dtype=np.uint64)), expected)


@pytest.mark.parametrize("ids", [np.arange(200_000), np.arange(200_000) << 40, 7 - np.arange(200_000)])
def test_uniform(ids: np.ndarray) -> None:
    u = uniform(key_of(3, "test"), ids.astype(np.uint64))
    assert 0 < u.min() < u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    assert stats.chisquare(np.bincount((u * 100).astype(int), minlength=100)).pvalue > 1e-4
    # Neighbours, and the same row under another key, tell nothing of each other.
    other = uniform(key_of(4, "test"), ids.astype(np.uint64))
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.01
    assert abs(np.corrcoef(u, other)[0, 1]) < 0.01


def test_a_row_keeps_its_number_in_any_company() -> None:
    ids = np.arange(1000, dtype=np.uint64)
    whole = uniform(9, ids)
    order = np.random.default_rng(0).permutation(1000)
    assert np.array_equal(uniform(9, ids[order]), whole[order])
    assert np.array_equal(uniform(9, ids[500:]), whole[500:])


def test_id_bits() -> None:
    ids = ["00000000000000ff" + "f" * 16, "8000000000000000" + "0" * 16, "0123456789abcdef" + "0" * 16]
    assert id_bits(ids).tolist() == [255, 1 << 63, 0x0123456789ABCDEF]
    assert id_bits(ids).dtype == np.dtype(np.uint64)
    assert id_bits([]).shape == (0,)
