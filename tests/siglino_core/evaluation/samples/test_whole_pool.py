"""The baselines that look at the whole pool, against the greedy choice as it is defined."""

import numpy as np

from siglino_core.evaluation.samples.whole_pool import facility_location, k_centre

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 6))
X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def test_k_centre_takes_the_farthest_each_time() -> None:
    chosen = k_centre(X, 20, start=7)
    assert chosen[0] == 7
    for i in range(1, 20):
        nearest = (X @ X[chosen[:i]].T).max(1)
        assert chosen[i] not in chosen[:i]
        assert nearest[chosen[i]] == np.delete(nearest, chosen[:i]).min()
    assert sorted(k_centre(X, 80, start=0)) == list(range(80))


def test_facility_location_takes_the_largest_gain_each_time() -> None:
    chosen = facility_location(X, 20)
    cosine = np.maximum(X @ X.T, 0).astype(np.float64)
    best = np.zeros(80)
    for i in range(20):
        gain = np.maximum(cosine - best, 0).sum(1)
        assert gain[chosen[i]] >= gain.max() - 1e-4
        best = np.maximum(best, cosine[chosen[i]])
    assert len(set(chosen)) == 20
    assert sorted(facility_location(X, 80)) == list(range(80))
