"""Quotas: exact, within sizes, water-filled; random only in their remainders."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.curation.sampling.quotas import choose, global_quotas, kth_largest, quotas, share
from siglino_core.hashing import key_of

sizes_and_budget = st.tuples(
    st.lists(st.one_of(st.integers(0, 12), st.integers(0, 10**6)), min_size=1, max_size=40), st.floats(0, 1)
).map(lambda t: (np.array(t[0], np.int64), int(t[1] * sum(t[0]))))
powers = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


def one(size: np.ndarray, budget: int, power: float, key: int = 0) -> np.ndarray:
    return share(np.array([budget]), size, np.zeros(len(size), np.int64), power, key)


def water(size: np.ndarray, budget: int, power: float) -> np.ndarray:
    """min(size, level * size ** power) with the level found by bisection: the reference."""
    claim = np.where(size > 0, size.astype(float) ** power, 0)
    low, high = 0.0, float((size / np.maximum(claim, 1e-300)).max(initial=0)) + 1
    for _ in range(200):
        level = (low + high) / 2
        low, high = (level, high) if np.minimum(size, level * claim).sum() <= budget else (low, level)
    return np.minimum(size, low * claim)


@settings(max_examples=300)
@given(sizes_and_budget, powers)
def test_exact_within_sizes_and_within_one_of_the_water_level(case: tuple[np.ndarray, int], power: float) -> None:
    size, budget = case
    quota = one(size, budget, power)
    assert quota.sum() == budget
    assert (quota >= 0).all()
    assert (quota <= size).all()
    assert np.abs(quota - water(size, budget, power)).max() <= 1 + 1e-6


@settings(max_examples=200)
@given(sizes_and_budget, st.integers(0, 99))
def test_power_zero_is_the_published_cap(case: tuple[np.ndarray, int], key: int) -> None:
    size, budget = case
    caps = np.arange(0, int(size.max()) + 1) if size.max() < 2000 else None
    if caps is None:
        low, high = 0, int(size.max())
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if np.minimum(size, middle).sum() <= budget else (low, middle - 1)
        cap = low
    else:
        cap = max(int(c) for c in caps if np.minimum(size, c).sum() <= budget)
    quota = one(size, budget, 0.0, key)
    extra = quota - np.minimum(size, cap)
    assert set(extra.tolist()) <= {0, 1}  # one each, to clusters above the cap
    assert (size[extra == 1] > cap).all()
    assert extra.sum() == budget - np.minimum(size, cap).sum()


@settings(max_examples=100)
@given(sizes_and_budget)
def test_power_one_is_proportional(case: tuple[np.ndarray, int]) -> None:
    size, budget = case
    assert np.abs(one(size, budget, 1.0) - size * (budget / max(1, size.sum()))).max() <= 1 + 1e-6


@settings(max_examples=100)
@given(sizes_and_budget, powers)
def test_larger_clusters_get_no_less(case: tuple[np.ndarray, int], power: float) -> None:
    size, budget = case
    quota = one(size, budget, power)
    order = np.argsort(size, kind="stable")
    # The remainder is one image, given by chance among equal fractions.
    assert (np.maximum.accumulate(quota[order]) - quota[order]).max() <= 1


@settings(max_examples=100)
@given(st.data())
def test_parents_do_not_touch_one_another(data: st.DataObject) -> None:
    cases = data.draw(st.lists(sizes_and_budget, min_size=1, max_size=5))
    size = np.concatenate([s for s, _ in cases])
    parent = np.repeat(np.arange(len(cases)), [len(s) for s, _ in cases])
    power = data.draw(powers)
    order = np.random.default_rng(data.draw(st.integers(0, 9))).permutation(len(size))
    found = share(np.array([b for _, b in cases]), size[order], parent[order], power, 1)
    for i, (s, budget) in enumerate(cases):
        mine = np.sort(order[parent[order] == i])
        quota = np.zeros(len(size), np.int64)
        quota[order] = found
        assert quota[mine].sum() == budget
        assert np.abs(quota[mine] - water(s, budget, power)).max() <= 1 + 1e-6


def test_only_remainders_are_random() -> None:
    size = np.full(100, 50)
    found = [one(size, 1030, 0.0, key_of(s)) for s in range(20)]
    assert all(set(q.tolist()) == {10, 11} and q.sum() == 1030 for q in found)
    assert len({q.tobytes() for q in found}) == 20
    assert np.array_equal(found[0], one(size, 1030, 0.0, key_of(0)))
    assert np.mean(found, 0) == pytest.approx(np.full(100, 10.3), abs=0.55)


def test_two_billion_images() -> None:
    rng = np.random.default_rng(0)
    size = np.sort((rng.pareto(1.1, 100_000) * 500 + 1).astype(np.int64))
    size[-1] = 2_000_000_000 - size[:-1].sum() if size[:-1].sum() < 2 * 10**9 else size[-1]
    for power in (0.0, 0.3, 1.0):
        for budget in (0, 1, 200_000_000, int(size.sum()) - 1, int(size.sum())):
            quota = one(size, budget, power)
            assert quota.sum() == budget
            assert ((quota >= 0) & (quota <= size)).all()
            assert np.abs(quota - water(size, budget, power)).max() <= 2  # fp64 keeps 2e8 to about 1e-8


def tree(rng: np.random.Generator, counts: Sequence[int]) -> list[np.ndarray]:
    """A parent for each cluster of each level but the top; some parents may get none."""
    return [rng.integers(0, above, below) for below, above in itertools.pairwise(counts)]


@settings(max_examples=60)
@given(st.data())
def test_a_hierarchy_is_exact_at_every_level(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    counts = sorted(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)), reverse=True)
    sizes = rng.integers(0, data.draw(st.sampled_from([2, 20, 1000])), counts[0])
    parents = tree(rng, counts)
    target = int(data.draw(st.floats(0, 1)) * sizes.sum())
    power, support = data.draw(powers), data.draw(st.integers(1, 5))
    quota = quotas(sizes, parents, target, power=power, min_support=support, seed=3)
    assert quota.sum() == target
    assert ((quota >= 0) & (quota <= sizes)).all()
    assert np.array_equal(quota, quotas(sizes, parents, target, power=power, min_support=support, seed=3))
    if support > 1:
        return
    # Top-down: at each level every parent's own budget is water-filled among its children.
    totals, budgets = [sizes], [quota]
    for parent, above in zip(parents, counts[1:], strict=True):
        totals.append(np.bincount(parent, totals[-1], above).astype(np.int64))
        budgets.append(np.bincount(parent, budgets[-1], above).astype(np.int64))
    for level, parent in enumerate([*parents, np.zeros(counts[-1], np.int64)]):
        for p in np.unique(parent):
            mine = parent == p
            budget = int(budgets[level][mine].sum())
            assert np.abs(budgets[level][mine] - water(totals[level][mine], budget, power)).max() <= 1 + 1e-6


def test_clusters_without_children_at_every_level() -> None:
    sizes = np.array([4, 0, 6])
    parents = [np.array([1, 1, 1]), np.array([2, 0, 2, 2, 1])]  # of five at level 2 one is used, of three above it one
    assert quotas(sizes, parents, 5, power=0.0, min_support=1, seed=0).sum() == 5
    assert quotas(np.zeros(3, np.int64), parents, 0, power=0.0, min_support=3, seed=0).tolist() == [0, 0, 0]


def test_one_level() -> None:
    assert quotas(np.array([1, 5, 100]), [], 9, power=0.0, min_support=1, seed=0).tolist() == [1, 4, 4]
    assert quotas(np.array([1, 5, 100]), [], 106, power=0.5, min_support=1, seed=0).tolist() == [1, 5, 100]


@settings(max_examples=60)
@given(st.data())
def test_clusters_claim_by_what_they_count_and_get_no_more_than_they_have(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    sizes = rng.integers(0, 200, data.draw(st.integers(1, 30)))
    mass = np.where(sizes > 0, rng.uniform(0.5, 50, len(sizes)), 0)
    parents, power = [rng.integers(0, 4, len(sizes))], data.draw(powers)
    target = int(data.draw(st.floats(0, 1)) * sizes.sum())
    quota = quotas(sizes, parents, target, power=power, min_support=1, seed=3, claims=mass)
    assert quota.sum() == target
    assert ((quota >= 0) & (quota <= sizes)).all()

    def level(size: np.ndarray, claim: np.ndarray, budget: int) -> np.ndarray:
        low, high = 0.0, float((size / np.maximum(claim, 1e-300)).max(initial=0)) + 1
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if np.minimum(size, middle * claim).sum() <= budget else (low, middle)
        return np.minimum(size, low * claim)

    group = np.bincount(parents[0], sizes, 4)
    shares = level(group, np.where(group > 0, np.bincount(parents[0], mass, 4) ** power, 0), target)
    budgets = np.bincount(parents[0], quota, 4).astype(int)
    assert budgets == pytest.approx(shares, abs=1 + 1e-6)
    for p in range(4):
        mine = parents[0] == p
        wanted = level(sizes[mine], np.where(sizes[mine] > 0, mass[mine] ** power, 0), budgets[p])
        assert quota[mine] == pytest.approx(wanted, abs=1 + 1e-6)


def test_claims_of_sizes_are_sizes() -> None:
    sizes, parents = np.array([3, 50, 7, 0, 120]), [np.array([0, 0, 1, 1, 1])]
    how = {"power": 0.3, "min_support": 1, "seed": 0}
    assert np.array_equal(quotas(sizes, parents, 60, **how), quotas(sizes, parents, 60, **how, claims=sizes * 1.0))
    with_weights = {**how, "weights": np.array([1.0, 2, 1, 1, 3])}
    same = quotas(sizes, parents, 60, **with_weights, claims=sizes * 1.0)
    assert np.array_equal(quotas(sizes, parents, 60, **with_weights), same)


def test_min_support_draws_outliers_at_the_pools_own_rate() -> None:
    sizes = np.r_[np.full(1000, 2), np.full(50, 400)]
    found = np.array([quotas(sizes, [], 2200, power=0.0, min_support=3, seed=s) for s in range(10)])
    assert (found.sum(1) == 2200).all()
    assert found[:, :1000].sum(1).mean() == pytest.approx(2000 * 2200 / 22_000, rel=0.1)  # not a cluster's whole share
    assert found[:, :1000].max() <= 1
    spread = found[:, 1000:]
    assert (spread.max(1) - spread.min(1) <= 1).all()  # the regular ones share the rest evenly
    assert len({f[:1000].tobytes() for f in found}) == 10


def test_min_support_gives_way_when_the_regular_clusters_are_too_small() -> None:
    sizes = np.r_[np.full(100, 2), [3]]
    quota = quotas(sizes, [], 150, power=0.0, min_support=3, seed=0)
    assert quota.sum() == 150
    assert (quota <= sizes).all()
    everyone = quotas(sizes, [], 150, power=0.0, min_support=99, seed=0)
    assert np.array_equal(everyone, quotas(sizes, [], 150, power=0.0, min_support=1, seed=0))


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=60), st.integers(0, 9))
def test_choose_takes_the_lowest_keys_of_each_cluster(rows: list[tuple[int, int]], most: int) -> None:
    unit = np.array([u for u, _ in rows], np.int64)
    key = np.array([k for _, k in rows], float)
    quota = np.minimum(np.bincount(unit, minlength=7), most)
    kept = choose(unit, key, quota)
    assert np.array_equal(np.bincount(unit[kept], minlength=7), quota)
    for u in range(7):
        mine = np.flatnonzero(unit == u)
        wanted = mine[np.argsort(key[mine], kind="stable")[: quota[u]]]  # ties by position
        assert np.array_equal(np.flatnonzero(kept & (unit == u)), np.sort(wanted))


def test_choose_with_more_quota_than_rows_and_with_none() -> None:
    assert choose(np.array([1, 1]), np.array([0.2, 0.1]), np.array([5, 9])).tolist() == [True, True]
    assert choose(np.empty(0, np.int64), np.empty(0), np.array([5])).tolist() == []


@given(
    st.lists(st.lists(st.floats(0, 4, width=32) | st.just(float("inf")), max_size=20), min_size=1, max_size=5),
    st.integers(0, 120),
)
def test_kth_largest_is_exact(parts: list[list[float]], k: int) -> None:
    values = np.sort(np.array([v for part in parts for v in part], np.float32))[::-1]
    wanted = np.inf if k == 0 else values[k - 1] if k <= len(values) else -np.inf
    assert kth_largest(lambda: (np.array(p, np.float32) for p in parts), k) == wanted


@given(st.integers(1, 6), st.integers(1, 80), st.integers(0, 2**31), st.floats(0, 1))
def test_global_quotas_keep_the_target_and_the_highest(clusters: int, n: int, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    cluster, score = rng.integers(0, clusters, n), rng.integers(0, 9, n).astype(np.float32)  # many ties
    score[rng.random(n) < 0.1] = np.inf
    target = int(share * n)
    cut = rng.integers(0, n + 1)

    def chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield cluster[:cut], score[:cut]
        yield cluster[cut:], score[cut:]

    quota, threshold = global_quotas(chunks, clusters, target)
    assert quota.sum() == target
    for c in range(clusters):
        mine = score[cluster == c]
        assert (mine > threshold).sum() <= quota[c] <= (mine >= threshold).sum()
