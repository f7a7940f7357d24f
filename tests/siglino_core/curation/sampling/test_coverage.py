"""Farthest-first order and outlier_distance, against brute force."""

import numpy as np
import pytest

from siglino_core.curation.sampling import coverage
from siglino_core.curation.sampling.coverage import MUTUAL, NAMED, farthest_first, outlier_distance


def unit(m: int, d: int = 8, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((m, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def brute(x: np.ndarray, start: int) -> list[tuple[int, float]]:
    """(member, joining distance) in the order in which they join."""
    order, d2 = [(start, np.inf)], ((x[:, None] - x[None]) ** 2).sum(2)
    near = d2[start].copy()
    while len(order) < len(x):
        near[[i for i, _ in order]] = -1
        at = int(near.argmax())
        order.append((at, float(near[at])))
        near = np.minimum(near, d2[at])
    return order


@pytest.mark.parametrize("products_at_once", [True, False])
def test_farthest_first_is_the_traversal(monkeypatch: pytest.MonkeyPatch, products_at_once: bool) -> None:
    x = unit(60)
    if not products_at_once:
        monkeypatch.setattr(coverage, "MOST", 59)
    joins = farthest_first(x, 7)
    assert joins[7] == pytest.approx(brute(x, 7)[1][1], abs=1e-5)  # as the second
    for member, distance in brute(x, 7)[1:59]:
        assert joins[member] == pytest.approx(distance, abs=1e-5)


def test_a_prefix_is_apart_and_covers_the_rest() -> None:
    x = unit(200, seed=1)
    joins = farthest_first(x, 0)
    radius = np.sort(joins)[-40]
    kept, left = joins >= radius, joins < radius
    d2 = ((x[:, None] - x[None]) ** 2).sum(2)
    assert d2[np.ix_(kept, kept)][~np.eye(40, dtype=bool)].min() >= radius - 1e-5
    assert d2[np.ix_(left, kept)].min(1).max() <= radius + 1e-5


def test_copies_join_last_at_no_distance() -> None:
    x = np.concatenate([unit(5), unit(5)])
    joins = farthest_first(x, 0)
    assert np.sort(joins)[:5] == pytest.approx(0, abs=1e-6)
    assert (np.sort(joins)[5:] > 1e-3).all()


def test_one_member() -> None:
    assert farthest_first(unit(1), 0).tolist() == [4]


def test_an_outlier_is_told_by_its_second_neighbour_and_by_who_names_it() -> None:
    x = unit(1500, 24, 2)  # more than one block
    d2 = ((x[:, None].astype(float) - x[None]) ** 2).sum(2)
    np.fill_diagonal(d2, np.inf)
    near = np.argsort(d2, axis=1)
    named = np.array([any(i in near[j, :NAMED] for j in near[i, :2]) for i in range(len(x))])
    assert 100 < named.sum() < 1400
    second = np.take_along_axis(d2, near, axis=1)[:, 1]
    assert outlier_distance(x) == pytest.approx(np.where(named, MUTUAL, 1) * second, abs=1e-5)


def test_members_of_a_small_class_that_is_spread_wide_are_nearer_than_what_is_alone() -> None:
    crowd, rng = unit(200, 16, 1) + 4 * np.eye(16)[1], np.random.default_rng(5)
    crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
    mates = np.eye(16)[0] - 3 * crowd.mean(0) + 0.25 * rng.standard_normal((5, 16))  # far from all, and from each other
    alone = -crowd.mean(0) + 2 * np.eye(16)[3]
    x = np.concatenate([crowd, mates, alone[None]])
    found = outlier_distance((x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    assert found[205] == found.max()
    assert found[200:205].max() < found[205] / 2


@pytest.mark.parametrize("m", [1, 2])
def test_too_few_to_have_a_second_neighbour(m: int) -> None:
    assert outlier_distance(unit(m)).tolist() == [4.0] * m


def test_three_have_a_second_neighbour() -> None:
    x = unit(3)
    d2 = ((x[:, None] - x[None]) ** 2).sum(2)
    assert outlier_distance(x) == pytest.approx(MUTUAL * d2.max(1), abs=1e-5)
