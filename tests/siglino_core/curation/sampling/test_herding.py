"""Kernel herding, against its plain formula and what it is for: samples that are spread as their cluster is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.curation.sampling import parts
from siglino_core.curation.sampling.herding import POWER, REPULSION, ROUNDING, herding_scores


def unit(m: int, d: int = 8, seed: int = 0, toward: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, d)) + toward * rng.standard_normal((1, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def blobs(sizes: list[int], spread: float = 0.2, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Members about directions at right angles, and which of them."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(len(sizes)), sizes)
    x = np.eye(d)[of] + spread * rng.standard_normal((len(of), d)) / np.sqrt(d)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), of


def likeness(x: np.ndarray) -> np.ndarray:
    away = x.astype(float) - x.astype(float).mean(0)
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)
    return np.maximum(away @ away.T, 0) ** POWER


def plain(x: np.ndarray) -> list[int]:
    """The order, a sum at a time."""
    alike, taken = likeness(x), []
    while len(taken) < len(x):
        wanted = {
            i: alike[i].mean() - REPULSION * alike[i, taken].sum() / (len(taken) + 1)
            for i in range(len(x))
            if i not in taken
        }
        taken.append(min(i for i, value in wanted.items() if value >= max(wanted.values()) - ROUNDING))
    return taken


@given(st.integers(2, 40), st.integers(0, 2**31), st.floats(0, 3))
def test_it_is_the_greedy_order(m: int, seed: int, toward: float) -> None:
    x = unit(m, seed=seed, toward=toward)
    score, order = herding_scores(x), plain(x)
    assert sorted(score.tolist()) == pytest.approx((np.arange(m) + 0.5) / m)
    assert np.argsort(-score).tolist() == order


def test_what_is_taken_is_spread_as_the_cluster_is() -> None:
    x, of = blobs([40, 20, 20])
    taken = np.argsort(-herding_scores(x))[:8]
    assert np.bincount(of[taken]).tolist() == [4, 2, 2]


def test_each_part_is_taken_from_its_middle_before_what_is_like_nothing() -> None:
    x, of = blobs([30, 30, 1])
    score = herding_scores(x)
    firsts = [min(np.flatnonzero(of == part), key=lambda i: -score[i]) for part in (0, 1)]
    assert min(score[firsts]) > score[60]
    for part, first in enumerate(firsts):
        mine = np.flatnonzero(of == part)
        from_outside = mine[np.argsort(x[mine] @ x[mine].mean(0))].tolist()
        assert from_outside.index(first) > 15  # of 30


def test_equal_members_are_taken_in_their_order() -> None:
    same = np.repeat(unit(1), 5, axis=0)
    assert herding_scores(same).tolist() == pytest.approx([0.9, 0.7, 0.5, 0.3, 0.1])
    x = unit(6)
    twice = herding_scores(np.concatenate([x, x]))
    assert (twice[:6] > twice[6:]).all()


def test_more_than_fit_at_once_are_ordered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST", 50)
    x = unit(100)
    score = herding_scores(x)
    for part in range(2):
        monkeypatch.setattr(parts, "MOST", 4096)
        assert np.array_equal(score[part::2], herding_scores(x[part::2]))


def test_one_member_and_none() -> None:
    assert herding_scores(np.empty((0, 4), np.float32)).tolist() == []
    assert herding_scores(unit(1)).tolist() == [0.5]
