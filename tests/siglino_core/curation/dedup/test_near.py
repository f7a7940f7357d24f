"""Near-duplicates: what stays is unlike, what goes has one that stands for it, and preference is respected."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.curation.dedup import near as dedup
from siglino_core.curation.dedup.near import representatives


def brute(x: np.ndarray, cosine: float) -> np.ndarray:
    """Greedy, one point at a time."""
    kept: list[int] = []
    stands = np.arange(len(x))
    for i in range(len(x)):
        scores = x[kept] @ x[i]
        if len(kept) and scores.max() >= cosine:
            stands[i] = kept[int(scores.argmax())]
        else:
            kept.append(i)
    return stands


def crowd(seed: int, n: int, centers: int, noise: float, d: int = 12) -> np.ndarray:
    """Unit vectors around a few centres."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(centers, d))[rng.integers(0, centers, n)] + noise * rng.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def holds(x: np.ndarray, stands: np.ndarray, cosine: float) -> None:
    """The properties, with room for the rounding of fp32 products."""
    kept = np.flatnonzero(stands == np.arange(len(x)))
    scores = x.astype(np.float64) @ x.astype(np.float64).T
    among = scores[np.ix_(kept, kept)] - 2 * np.eye(len(kept))
    assert among.max(initial=-1) < cosine + 1e-5
    gone = np.flatnonzero(stands != np.arange(len(x)))
    assert np.isin(stands[gone], kept).all()
    assert (stands <= np.arange(len(x))).all()  # the more wanted one stands for the other
    assert (scores[gone, stands[gone]] >= cosine - 1e-5).all()
    for i in gone:
        wanted = kept[kept < i]
        assert scores[i, stands[i]] >= scores[i, wanted].max() - 1e-5


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 90), st.integers(1, 12), st.floats(0.05, 0.6), st.floats(0.5, 0.99))
def test_properties(seed: int, n: int, centers: int, noise: float, cosine: float) -> None:
    x = crowd(seed, n, centers, noise)
    for block in (1, 7, 1024):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dedup, "BLOCK", block)
            holds(x, representatives(x, cosine), cosine)


@pytest.mark.parametrize("n", [1, 1023, 1024, 1025, 2048, 2049])
def test_against_brute_force_around_the_block(n: int) -> None:
    x = crowd(n, n, 60, 0.25)
    found = representatives(x, 0.9)
    assert np.array_equal(found, brute(x, 0.9))
    assert len(np.unique(found)) < n or n == 1


@pytest.mark.parametrize("at", [1022, 1023, 1024, 1025, 2047, 2048])
def test_a_pair_across_the_block_boundary(at: int) -> None:
    x = np.eye(2100, dtype=np.float32)
    x[at] = x[5]
    x[at + 1] = x[at - 1]
    expected = np.arange(2100)
    expected[at], expected[at + 1] = 5, at - 1
    assert np.array_equal(representatives(x, 0.9), expected)


def test_the_order_is_the_preference() -> None:
    x = crowd(0, 200, 5, 0.1)
    reverse = 199 - representatives(x[::-1].copy(), 0.9)[::-1]
    assert (representatives(x, 0.9) <= np.arange(200)).all()
    assert (reverse >= np.arange(200)).all()
    assert representatives(x, 0.9)[0] == 0


def test_a_chain_is_not_swallowed_whole() -> None:
    angles = np.arange(9) * 0.2  # neighbours at cosine 0.98, ends unlike
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    assert representatives(x, 0.95).tolist() == [0, 0, 2, 2, 4, 4, 6, 6, 8]


def test_the_most_similar_stands_for_it_even_from_the_block_before(monkeypatch: pytest.MonkeyPatch) -> None:
    angles = np.array([0.0, 0.5, 1.0, 0.3, 0.8])
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    for block in (1, 2, 3, 5):
        monkeypatch.setattr(dedup, "BLOCK", block)
        assert representatives(x, np.cos(0.4)).tolist() == [0, 1, 2, 1, 2]


def test_extremes() -> None:
    assert representatives(np.empty((0, 4)), 0.9).tolist() == []
    same = np.ones((5, 1), np.float16)
    assert representatives(same, 1.0).tolist() == [0] * 5
    assert representatives(np.eye(4), 0.5).tolist() == [0, 1, 2, 3]
    assert representatives(crowd(1, 50, 9, 1.0), -1.0).tolist() == [0] * 50
