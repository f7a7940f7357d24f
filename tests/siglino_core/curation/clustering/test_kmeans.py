"""k-means in steps: it descends, its seeds are distinct, and it goes on from any state to the same bits."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.config import Seeding
from siglino_core.curation.clustering.kmeans import Recipe, State, steps
from siglino_core.errors import DataError
from tests.siglino_core.curation.clustering.test_points import blocks, team, unit


def recipe(k: int, seeding: Seeding = Seeding.D2_ROUNDS, **change: int) -> Recipe:
    usual = {"level": 1, "iterations": 0, "resampling": 0, "resampling_iterations": 2, "seed": 0}
    return Recipe(k=k, seeding=seeding, **{**usual, **change})


def blobs(n: int, centers: int, noise: float = 0.05, d: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = unit(seed, centers, d).astype(float)[rng.integers(0, centers, n)] + noise * rng.normal(size=(n, d))
    return (x / np.maximum(1, np.linalg.norm(x, axis=1, keepdims=True))).astype(np.float16)


def fit(points: np.ndarray, how: Recipe) -> list[State]:
    return list(steps(blocks(points, cuts=[len(points) // 3]), how))


def centroids(state: State) -> np.ndarray:
    assert state.centroids is not None
    return state.centroids


def same(a: State, b: State) -> bool:
    anchors = (a.anchor is None) == (b.anchor is None) and (
        a.anchor is None or np.array_equal(a.anchor, b.anchor)  # type: ignore[arg-type]
    )
    said = (a.phase, a.step, a.done, a.log) == (b.phase, b.step, b.done, b.log)
    return said and anchors and np.array_equal(centroids(a), centroids(b))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 63, 64, 65, 1000])
def test_rounds(k: int) -> None:
    assert recipe(k, Seeding.RANDOM).rounds() == [k]
    assert recipe(k, Seeding.KMEANS_PP).rounds() == [1] * k
    sizes = recipe(k).rounds()
    assert sum(sizes) == k
    assert len(sizes) == 1 + int(np.ceil(np.log2(k)))
    assert all(s <= max(1, sum(sizes[:i])) for i, s in enumerate(sizes))  # never more than there are


@pytest.mark.parametrize("seeding", Seeding)
def test_every_intermediate_state_leads_to_the_same_bits(seeding: Seeding) -> None:
    points = blobs(150, 9, 0.2)
    how = recipe(7, seeding, iterations=3, resampling=2, resampling_iterations=2)
    whole = fit(points, how)
    last = whole[-1]
    assert last.done
    assert [s.phase for s in whole] == sorted(s.phase for s in whole)
    for at, state in enumerate(whole):
        rest = list(steps(team(points, [20, 90], 2, [2, 0, 1]), how, state))
        assert len(rest) == len(whole) - at - 1
        assert all(same(a, b) for a, b in zip(rest, whole[at + 1 :], strict=True)) or at == len(whole) - 1


@settings(max_examples=25)
@given(
    st.integers(0, 999),
    st.integers(1, 12),
    st.sampled_from(Seeding),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 2),
)
def test_any_recipe_resumes_anywhere(
    seed: int, k: int, seeding: Seeding, iterations: int, resampling: int, again: int
) -> None:
    points = unit(seed, 40)
    how = recipe(
        k, seeding, seed=seed, iterations=iterations, resampling=resampling, resampling_iterations=again, level=2
    )
    whole = fit(points, how)
    state = whole[seed % len(whole)]
    rest = list(steps(blocks(points), how, state))
    if not state.done:
        # One block instead of two changes the last bits of the inertia's log at most.
        assert np.array_equal(centroids(rest[-1]), centroids(whole[-1]))
    assert len(centroids(whole[-1])) == k


@pytest.mark.parametrize("seeding", Seeding)
def test_lloyd_never_raises_the_objective(seeding: Seeding) -> None:
    points = blobs(600, 20, 0.15)
    state = fit(points, recipe(12, seeding, iterations=15))[-1]
    inertia = [entry["inertia"] for entry in state.log]
    assert len(inertia) == 15
    assert all(b <= a + 1e-6 for a, b in itertools.pairwise(inertia))
    assert inertia[-1] < inertia[0]
    assert state.log[-1]["shift"] < state.log[0]["shift"]
    assert [e["iteration"] for e in state.log] == list(range(15))


def test_an_iteration_is_the_mean_of_its_points() -> None:
    points = blobs(300, 5, 0.2)
    seeds, after = (centroids(s) for s in fit(points, recipe(5, iterations=1))[-3:-1])
    exact = ((points[:, None].astype(float) - seeds[None].astype(float)) ** 2).sum(2).argmin(1)
    means = np.stack([points[exact == i].astype(float).mean(0) for i in range(5)])
    assert after == pytest.approx(means, abs=1e-6)


def test_empty_clusters_get_the_farthest_points() -> None:
    points = blobs(200, 4, 0.02)
    start = np.concatenate([centroids(fit(points, recipe(2))[-1]), np.full((2, 6), 9, np.float32)])
    how = recipe(4, Seeding.RANDOM, iterations=4)
    found = list(steps(blocks(points), how, State(step=1, centroids=start)))
    assert found[0].log[-1]["empty"] == 2
    assert np.abs(centroids(found[0])).max() <= 1  # the ones that were out in the void are points now
    assert found[-1].log[-1]["empty"] == 0
    assert found[-1].log[-1]["inertia"] < found[0].log[-1]["inertia"]


@pytest.mark.parametrize("seeding", Seeding)
@pytest.mark.parametrize("k", [1, 8, 30, 60])
def test_seeds_are_distinct_points_of_the_set(seeding: Seeding, k: int) -> None:
    points = unit(1, 60)
    seeds = centroids(fit(points, recipe(k, seeding))[-1])
    rows = {p.tobytes() for p in points}
    assert len({s.tobytes() for s in seeds.astype(np.float16)}) == k
    assert {s.tobytes() for s in seeds.astype(np.float16)} <= rows


@pytest.mark.parametrize("seeding", Seeding)
def test_seeds_are_distinct_when_points_repeat(seeding: Seeding) -> None:
    distinct = unit(2, 9)
    for seed in range(15):
        points = np.random.default_rng(seed).permutation(np.repeat(distinct, 20, 0))
        state = fit(points, recipe(9, seeding, seed=seed, iterations=1))[-1]
        assert state.log[0]["empty"] == 0
        assert state.log[0]["inertia"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("seeding", Seeding)
@pytest.mark.parametrize("copies", [1, 5])
def test_too_few_distinct_points(seeding: Seeding, copies: int) -> None:
    points = np.repeat(unit(3, 6), copies, 0)
    assert len(centroids(fit(points, recipe(6, seeding))[-1])) == 6
    for k in (7, 12, 31):
        with pytest.raises(DataError) as caught:
            fit(points, recipe(k, seeding))
        assert f"level 1 asks for {k} centroids, but only 6 distinct points take part" in str(caught.value)
        assert "Lower cluster.num_clusters[0]" in str(caught.value)


@pytest.mark.parametrize("seeding", Seeding)
def test_as_many_centroids_as_points(seeding: Seeding) -> None:
    points = unit(4, 25)
    state = fit(points, recipe(25, seeding, iterations=2, resampling=1))[-1]
    assert state.log[-1]["inertia"] == pytest.approx(0, abs=1e-5)
    assert {c.tobytes() for c in centroids(state).astype(np.float16)} == {p.tobytes() for p in points}


def test_seeding_by_distance_finds_what_random_misses() -> None:
    rng = np.random.default_rng(0)
    crowded = blobs(2000, 1, 0.02)
    rare = unit(9, 8, 6)
    points = np.concatenate([crowded, rare])[rng.permutation(2008)]

    def found(seeding: Seeding) -> float:
        seeds = [centroids(fit(points, recipe(16, seeding, seed=s))[-1]) for s in range(5)]
        near = [((rare[:, None].astype(float) - s[None]) ** 2).sum(2).min(1) < 1e-6 for s in seeds]
        return float(np.mean(near))

    assert found(Seeding.D2_ROUNDS) > 0.7
    assert found(Seeding.KMEANS_PP) > 0.7
    assert found(Seeding.RANDOM) < 0.1


def test_resampling_flattens_the_density_of_centroids() -> None:
    crowd, sparse = blobs(4000, 1, 0.08, seed=1), blobs(400, 40, 0.3, seed=2)
    points = np.concatenate([crowd, sparse])

    def in_crowd(resampling: int) -> int:
        state = fit(points, recipe(40, Seeding.KMEANS_PP, iterations=4, resampling=resampling))[-1]
        nearest = ((centroids(state)[:, None].astype(float) - points[None].astype(float)) ** 2).sum(2).argmin(1)
        return int((nearest < 4000).sum())

    assert in_crowd(4) < in_crowd(0)


@pytest.mark.parametrize("seeding", [Seeding.KMEANS_PP, Seeding.D2_ROUNDS])
def test_as_good_as_scikit_learn(seeding: Seeding) -> None:
    from sklearn.cluster import KMeans

    points = blobs(1500, 10, 0.08)
    how = [recipe(10, seeding, iterations=30, seed=s) for s in range(10)]
    fits = [fit(points, h) for h in how]
    ours = [f[-1].log[-1]["inertia"] for f in fits]
    x = points.astype(np.float32)
    best = KMeans(10, n_init=6, random_state=0).fit(x).inertia_ / 1500
    assert min(ours) == pytest.approx(best, rel=0.03)
    for h, f, inertia in zip(how[:2], fits, ours, strict=False):  # and from our seeds it goes where we go
        seeds = centroids(f[len(h.rounds()) - 1])
        theirs = KMeans(10, init=seeds, n_init=1, max_iter=30, tol=0).fit(x).inertia_ / 1500
        assert inertia == pytest.approx(theirs, rel=2e-3)


def test_done_is_done_and_seeds_differ() -> None:
    points = unit(0, 50)
    done = fit(points, recipe(5))[-1]
    assert list(steps(blocks(points), recipe(5), done)) == []
    assert not np.array_equal(centroids(done), centroids(fit(points, recipe(5, seed=1))[-1]))
    assert not np.array_equal(centroids(done), centroids(fit(points, recipe(5, level=2))[-1]))
