"""k-means in committed steps: seeding in rounds, Lloyd iterations, and resampling.

The state after any step is enough to go on from there with the same result, bit for bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from siglino_core.config import Seeding
from siglino_core.curation.clustering.points import Points
from siglino_core.errors import DataError
from siglino_core.hashing import key_of


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one level is clustered."""

    level: int
    k: int
    seeding: Seeding
    iterations: int
    resampling: int
    resampling_iterations: int
    seed: int

    def rounds(self) -> list[int]:
        """How many seeds each seeding round adds.

        k-means++ adds one at a time (Arthur and Vassilvitskii 2007); ``d2_rounds`` doubles, so that a round compares
        the points with its new seeds alone and log2(k) rounds are enough (after Bahmani et al. 2012).
        """
        if self.seeding is Seeding.RANDOM:
            return [self.k]
        if self.seeding is Seeding.KMEANS_PP:
            return [1] * self.k
        sizes = [1]
        while sum(sizes) < self.k:
            sizes.append(min(sum(sizes), self.k - sum(sizes)))
        return sizes


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a level stands.

    ``phase`` 0 clusters all points; phase p > 0 is the p-th resampling, on points thinned by ``anchor``.
    ``step`` counts this phase's seeding rounds and then its Lloyd iterations.
    """

    phase: int = 0
    step: int = 0
    centroids: np.ndarray | None = None  # fp32 [K, D]; while seeding, the seeds so far
    anchor: np.ndarray | None = None  # fp32 [K, D]: what the phase before ended with
    log: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False


def steps(points: Points, recipe: Recipe, state: State | None = None) -> Iterator[State]:
    """Yield the state after every step worth committing, from ``state`` (or the start) to the one that is ``done``.

    Raises:
        DataError: there are fewer distinct points than centroids asked for.
    """
    state = state or State()
    if state.done:
        return
    rounds = recipe.rounds()
    for phase in range(state.phase, recipe.resampling + 1):
        if phase != state.phase:
            state = replace(state, phase=phase, step=0, anchor=state.centroids, centroids=None)
        _enter(points, recipe, state)
        seeded = state.step
        for index, size in enumerate(rounds):
            if index < seeded:
                if seeded < len(rounds):  # resumed in mid-seeding: the same comparisons again, for the same bits
                    assert state.centroids is not None
                    first = sum(rounds[:index])
                    points.absorb(state.centroids[first : first + size], first)
                continue
            state = _seed(points, recipe, state, index, size)
            n = index + 1
            if size > 1 or n == len(rounds) or n & (n - 1) == 0:  # one seed at a time: when their number doubled
                yield state
        iterations = recipe.resampling_iterations if phase else recipe.iterations
        for iteration in range(max(0, state.step - len(rounds)), iterations):
            state = _lloyd(points, state, iteration)
            yield state
    yield replace(state, done=True)


def _enter(points: Points, recipe: Recipe, state: State) -> None:
    points.thin(0, None)
    if state.phase:
        # About half a mean cluster of every cluster, so that dense regions lose their weight (Vo et al. 2024, 3.3).
        assert state.anchor is not None
        counts = points.assign(state.anchor).counts_K
        keep = max(1.0, counts.sum() / recipe.k / 2)
        # A level that keeps fewer points than it needs centroids cannot be seeded: keep at least two a centroid.
        while np.minimum(counts, keep).sum() < min(2 * recipe.k, counts.sum()):
            keep *= 2
        key = key_of(recipe.seed, "resampling", recipe.level, state.phase)
        points.thin(key, np.minimum(1.0, keep / np.maximum(counts, 1)))


def _seed(points: Points, recipe: Recipe, state: State, index: int, size: int) -> State:
    first = 0 if state.centroids is None else len(state.centroids)
    key = key_of(recipe.seed, "seeding", recipe.level, state.phase, index)
    seeds = _distinct(points, key, size, weighted=first > 0)
    if len(seeds) < size:
        raise DataError(
            f"level {recipe.level} asks for {recipe.k} centroids, but only {first + len(seeds)} distinct "
            f"points take part. Lower cluster.num_clusters[{recipe.level - 1}], or raise cluster.fit_fraction."
        )
    if first + size < recipe.k:
        points.absorb(seeds, first)
    centroids = seeds if state.centroids is None else np.concatenate([state.centroids, seeds])
    return replace(state, step=index + 1, centroids=centroids)


def _distinct(points: Points, key: int, size: int, *, weighted: bool) -> np.ndarray:
    """The first ``size`` different points of a draw, fp32 [M, D]; fewer if there are no more."""
    m = size
    while True:
        drawn = points.draw(key, m, weighted=weighted).points_MD
        _, first = np.unique(drawn, axis=0, return_index=True)
        if len(first) >= size or len(drawn) < m:
            return drawn[np.sort(first)[:size]].astype(np.float32)
        m *= 2  # points that repeat took places


def _lloyd(points: Points, state: State, iteration: int) -> State:
    assert state.centroids is not None
    moments = points.assign(state.centroids)
    counts_K = moments.counts_K
    means_KD = (moments.sums_KD / np.maximum(counts_K, 1)[:, None]).astype(np.float32)
    empty_K = counts_K == 0
    if empty_K.any():
        lost = points.farthest(int(empty_K.sum()))
        refill = np.flatnonzero(empty_K)[: len(lost.ids_M)]
        means_KD[empty_K] = state.centroids[empty_K]
        means_KD[refill] = lost.points_MD.astype(np.float32)
    shift = float(np.sqrt(np.square(means_KD - state.centroids).sum(1, dtype=np.float64)).mean())
    entry = {
        "phase": state.phase,
        "iteration": iteration,
        "inertia": moments.mean_inertia,
        "empty": int(empty_K.sum()),
        "shift": shift,
    }
    return replace(state, step=state.step + 1, centroids=means_KD, log=[*state.log, entry])
