"""Points: draws follow their law, sums are exact, and no answer depends on who holds which block."""

import itertools
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.curation.clustering.points import Blocks, Candidates, Divided, Points, mean_of, prepare
from siglino_core.hashing import key_of


def unit(seed: int, n: int, d: int = 8) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


def blocks(points: np.ndarray, ids: np.ndarray | None = None, cuts: Sequence[int] = ()) -> Blocks:
    ids = np.arange(len(points), dtype=np.uint64) if ids is None else ids
    held = Blocks()
    for index, rows in enumerate(np.split(np.arange(len(points)), cuts)):
        held.add(index, points[rows], ids[rows])
    return held


class Team(Divided):
    """Several workers, in this process."""

    def __init__(self, workers: list[Blocks]) -> None:
        self.workers = workers

    def _all(self, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        return [getattr(w, method)(*args, **kwargs) for w in self.workers]


def team(points: np.ndarray, cuts: Sequence[int], workers: int, order: Sequence[int]) -> Team:
    """The same numbered blocks, dealt out to workers in any order."""
    held = [Blocks() for _ in range(workers)]
    parts = np.split(np.arange(len(points)), cuts)
    for place, index in enumerate(order):
        rows = parts[index]
        held[place % workers].add(index, points[rows], rows.astype(np.uint64))
    return Team([w for w in held if w._blocks])


def story(points: Points, seeds: np.ndarray) -> list[Any]:
    """A little of everything, as plain values."""
    said: list[Any] = [points.count()]

    def tell(c: Candidates) -> None:
        said.extend([c.keys_M.tolist(), c.ids_M.tolist(), c.points_MD.tolist()])

    tell(points.draw(1, 7, weighted=False))
    points.absorb(seeds[:2], 0)
    points.absorb(seeds[2:], 2)
    tell(points.draw(2, 7, weighted=True))
    points.thin(3, np.linspace(0.3, 0.9, len(seeds)))
    said.append(points.count())
    moments = points.assign(seeds)
    said.extend([moments.sums_KD.tolist(), moments.counts_K.tolist(), moments.mean_inertia])
    tell(points.farthest(5))
    points.thin(0, None)
    return [*said, points.count()]


@settings(max_examples=40)
@given(st.data())
def test_the_same_for_any_split_over_workers(data: st.DataObject) -> None:
    n = data.draw(st.integers(12, 60))
    points = unit(data.draw(st.integers(0, 99)), n)
    points[n // 2] = points[0]  # a tie
    cuts = sorted(data.draw(st.lists(st.integers(1, n - 1), max_size=5, unique=True)))
    seeds = unit(7, 4).astype(np.float32)
    parts = len(cuts) + 1
    wanted = story(team(points, cuts, 1, range(parts)), seeds)
    workers = data.draw(st.integers(1, parts))
    order = data.draw(st.permutations(range(parts)))
    assert story(team(points, cuts, workers, order), seeds) == wanted


def test_sums_are_exact_for_any_order() -> None:
    points = unit(0, 5000, 16)
    points[::7] *= np.float16(2.0**-10)
    exact = points.astype(np.float64).sum(0)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(5000)
        moments = blocks(points[order], cuts=[1000, 1001, 4000]).assign(np.zeros((1, 16), np.float32))
        assert np.array_equal(moments.sums_KD[0], exact)
        assert moments.counts_K.tolist() == [5000]


def test_mean_of_partial_sums() -> None:
    points = unit(1, 300).astype(np.float64)
    parts = [(p.sum(0), len(p)) for p in np.split(points, [10, 10, 120])]
    assert np.array_equal(mean_of(parts), points.sum(0) / 300)
    assert np.array_equal(mean_of(reversed(parts)), mean_of(parts))


def inclusion(weights: np.ndarray, m: int) -> np.ndarray:
    """Chance that each item is among m drawn one after another in proportion to weight, without replacement."""
    chance = np.zeros(len(weights))
    for order in itertools.permutations(range(len(weights)), m):
        p, rest = 1.0, weights.sum()
        for i in order:
            p, rest = p * weights[i] / rest, rest - weights[i]
        chance[list(order)] += p
    return chance


@pytest.mark.parametrize("m", [1, 2, 4])
def test_weighted_draws_follow_efraimidis_and_spirakis(m: int) -> None:
    seed = np.zeros((1, 2), np.float32)
    radius = np.sqrt(np.array([0.0, 0.02, 0.1, 0.2, 0.4, 0.8]))
    points = np.stack([radius, 0 * radius], 1).astype(np.float16)
    held = blocks(points, cuts=[2, 3])
    held.absorb(seed, 0)
    trials = 2000
    seen = Counter(i for t in range(trials) for i in held.draw(key_of("draw", t), m, weighted=True).ids_M.tolist())
    wanted = np.r_[0, inclusion(points[1:, 0].astype(np.float64) ** 2, m)]
    got = np.array([seen[i] for i in range(6)]) / trials
    assert got[0] == 0  # the seed itself is never drawn again
    assert got == pytest.approx(wanted, abs=4 * 0.5 / np.sqrt(trials))


def test_uniform_draws_are_uniform_and_distinct() -> None:
    held = blocks(unit(0, 10), cuts=[3, 8])
    seen: Counter[int] = Counter()
    for t in range(1500):
        ids = held.draw(key_of("uniform", t), 3, weighted=False).ids_M.tolist()
        assert len(set(ids)) == 3
        seen.update(ids)
    assert np.array([seen[i] for i in range(10)]) / 1500 == pytest.approx(np.full(10, 0.3), abs=0.05)
    assert sorted(held.draw(1, 99, weighted=False).ids_M.tolist()) == list(range(10))


def test_farthest_and_ties() -> None:
    points = np.array([[0.0], [0.5], [1.0], [-1.0], [0.25], [1.0]], np.float16)
    held = blocks(points, np.array([9, 8, 7, 6, 5, 4], np.uint64), cuts=[3])
    held.assign(np.zeros((1, 1), np.float32))
    found = held.farthest(4)
    assert found.ids_M.tolist() == [4, 6, 7, 8]  # of equal ones the lower id first
    assert found.points_MD[:, 0].tolist() == [1, -1, 1, 0.5]
    assert held.farthest(2).ids_M.tolist() == [4, 6]


def test_thinning_keeps_the_asked_share_of_each_centroid() -> None:
    points = np.repeat(np.array([[-0.5], [0.5]], np.float16), 4000, 0)
    held = blocks(points, cuts=[1000, 5000])
    centroids = np.array([[-0.5], [0.5]], np.float32)
    held.assign(centroids)
    held.thin(5, np.array([0.25, 1.0]))
    counts = held.assign(centroids).counts_K
    assert counts[0] == pytest.approx(1000, abs=120)
    assert counts[1] == 4000
    assert held.count() == counts.sum()
    drawn = held.draw(1, 8000, weighted=False)
    assert len(drawn.ids_M) == counts.sum()  # the others take no part
    held.thin(0, None)
    assert held.count() == 8000


def test_labels_and_inertia() -> None:
    points = unit(3, 40)
    held = blocks(points, cuts=[15])
    centroids = unit(4, 5).astype(np.float32)
    moments = held.assign(centroids)
    exact = ((points[:, None].astype(float) - centroids[None]) ** 2).sum(2)
    labels = held.labels()
    assert np.array_equal(np.concatenate([labels[0], labels[1]]), exact.argmin(1))
    assert moments.mean_inertia == pytest.approx(exact.min(1).mean(), rel=1e-5)
    assert list(moments.inertia) == [0, 1]


def test_prepare() -> None:
    points = unit(0, 50)
    assert prepare(points, None) is not points
    assert np.array_equal(prepare(points, None), points)
    center = points.mean(0, dtype=np.float64)
    ready = prepare(points, center)
    exact = points.astype(np.float64) - center
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    assert ready.dtype == np.float16
    assert ready.astype(float) == pytest.approx(exact, abs=1e-3)
    assert np.array_equal(prepare(points[:1], points[0].astype(np.float64)), np.zeros((1, 8)))  # no direction, no NaN


def test_a_killed_worker_leaves_no_points_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    held = blocks(unit(0, 100), cuts=[40])
    assert held.count() == 100
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []  # mapped, with no name left
    assert held.assign(unit(1, 4).astype(np.float32)).counts_K.sum() == 100
