"""Facility gains, against the plain greedy algorithm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.curation.sampling import parts
from siglino_core.curation.sampling.facility import ROUNDING, facility_gains


def unit(m: int, d: int = 8, seed: int = 0, toward: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((m, d)) + toward * rng.standard_normal((1, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def worth(cosine: np.ndarray, chosen: list[int], weight: np.ndarray | float = 1.0) -> float:
    return float((weight * np.maximum(cosine[chosen].max(0), 0)).sum()) if chosen else 0.0


def greedy(x: np.ndarray, w: np.ndarray | float = 1.0) -> list[tuple[int, float]]:
    """(member, what it adds) in the order in which they are taken; of equal ones the first."""
    cosine, chosen, order = x.astype(float) @ x.astype(float).T, [], []
    while len(chosen) < len(x):
        gains = {i: worth(cosine, [*chosen, i], w) - worth(cosine, chosen, w) for i in range(len(x)) if i not in chosen}
        best = min(i for i, gain in gains.items() if gain >= max(gains.values()) - ROUNDING)
        chosen.append(best)
        order.append((best, gains[best]))
    return order


@given(st.integers(1, 40), st.integers(0, 2**31), st.floats(0, 3))
def test_it_is_the_greedy_order(m: int, seed: int, toward: float) -> None:
    x = unit(m, seed=seed, toward=toward)
    gains, wanted = facility_gains(x), greedy(x)
    assert gains[[i for i, _ in wanted]] == pytest.approx([gain for _, gain in wanted], abs=2 * ROUNDING)
    assert gains.sum() == pytest.approx(worth(x @ x.T, list(range(m))), rel=1e-4)  # all that there is to add


@given(st.integers(1, 30), st.integers(0, 2**31))
def test_members_count_by_their_weights(m: int, seed: int) -> None:
    x, weight = unit(m, seed=seed), np.random.default_rng(seed).uniform(0.5, 4, m)
    gains, wanted = facility_gains(x, weight), greedy(x, weight)
    assert gains[[i for i, _ in wanted]] == pytest.approx([gain for _, gain in wanted], abs=1e-3)
    assert facility_gains(x, np.ones(m)) == pytest.approx(facility_gains(x), abs=2 * ROUNDING)


def test_the_first_represents_the_most_and_a_far_one_itself_alone() -> None:
    crowd = unit(50, 16, toward=3.0)
    mean = crowd.mean(0)
    gains = facility_gains(np.concatenate([crowd, -mean[None] / np.linalg.norm(mean)]))
    assert gains[:50].max() > 30
    assert gains[50] == pytest.approx(1, abs=1e-5)


def test_copies_add_nothing_and_of_equal_ones_the_first_is_taken() -> None:
    x = unit(6)
    gains = facility_gains(np.concatenate([x, x]))
    assert gains[6:] == pytest.approx(0, abs=1e-5)
    assert (gains[:6] > 1e-3).all()
    pair = facility_gains(unit(2, seed=5))
    assert pair[0] > pair[1]


def test_a_cluster_too_large_for_its_pairs_is_ordered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x = unit(100)
    monkeypatch.setattr(parts, "MOST", 50)
    weight = np.linspace(1, 3, 100)
    gains, weighted = facility_gains(x), facility_gains(x, weight)
    for part in (0, 1):
        monkeypatch.setattr(parts, "MOST", 4096)
        assert np.array_equal(gains[part::2], facility_gains(x[part::2]))
        assert np.array_equal(weighted[part::2], facility_gains(x[part::2], weight[part::2]))


def test_no_member_and_one() -> None:
    assert facility_gains(np.empty((0, 4), np.float32)).tolist() == []
    assert facility_gains(unit(1)) == pytest.approx([1])
