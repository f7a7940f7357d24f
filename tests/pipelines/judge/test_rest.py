"""What methods choose from: the images that are left, and junk that nothing but its vector gives away."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.judge.pool import JudgedPool
from pipelines.judge.rest import planted
from siglino_core.hashing import id_bits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6))
X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
POOL = JudgedPool(
    origin="by hand",
    unit_ND=X,
    label_N=np.arange(400) % 4,
    names=["a", "b", "c", "d"],
    ids=[f"{i:032x}" for i in range(400)],
    sizes_N2=np.stack([np.arange(400), np.arange(400)], 1),
    pixels_NF=np.arange(1200, dtype=np.uint8).reshape(400, 3),
)
ROWS = np.arange(100, 400)


def test_one_in_a_hundred_is_junk_of_two_kinds() -> None:
    rest = planted(POOL, ROWS, 0)
    assert np.array_equal(rest.rows_R[:300], ROWS)
    assert rest.rows_R[300:].tolist() == [-1] * 3
    assert np.array_equal(rest.unit_RD[:300], X[ROWS])
    assert np.linalg.norm(rest.unit_RD, axis=1) == pytest.approx(1, abs=2e-3)
    values = {tuple(np.sort(row)) for row in X[ROWS].astype(np.float16)}
    shuffled = [tuple(np.sort(row.astype(np.float16))) in values for row in rest.unit_RD[300:]]
    assert shuffled == [True, False, False]
    assert rest.sizes_R2 is not None
    assert set(map(tuple, rest.sizes_R2[300:])) <= set(map(tuple, rest.sizes_R2[:300]))
    assert len(set(rest.ids)) == 303
    assert {len(i) for i in rest.ids} == {32}


def test_noise_is_embedded_where_it_can_be() -> None:
    def noise(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return np.tile(X[:1], (count, 1)), np.full((count, 3), 7 + seed, np.float32)

    rest = planted(replace(POOL, noise=noise), ROWS, 2)
    assert rest.unit_RD[300] == pytest.approx(X[0], abs=1e-3)
    assert rest.sample(np.array([300])).pixels_MF == pytest.approx(9)


def test_a_sample_of_it() -> None:
    rest = planted(POOL, ROWS, 0)
    found = rest.sample(np.array([0, 5, 301]))
    assert found.rows_M.tolist() == [100, 105, -1]
    assert np.array_equal(found.ids_M, id_bits([rest.ids[i] for i in (0, 5, 301)]))
    assert np.array_equal(found.unit_MD, rest.unit_RD[[0, 5, 301]])
    assert found.pixels_MF is not None
    assert POOL.pixels_NF is not None
    assert np.array_equal(found.pixels_MF[:2], POOL.pixels_NF[[100, 105]])
    assert tuple(np.sort(found.pixels_MF[2])) in {tuple(np.sort(p)) for p in POOL.pixels_NF[ROWS].astype(float)}
    assert planted(replace(POOL, pixels_NF=None), ROWS, 0).sample(np.array([0, 301])).pixels_MF is None


def test_the_seed_decides() -> None:
    a, b, c = (planted(POOL, ROWS, seed) for seed in (0, 0, 1))
    assert np.array_equal(a.unit_RD, b.unit_RD)
    assert a.ids == b.ids
    assert not np.array_equal(a.unit_RD, c.unit_RD)
    assert not set(a.ids[300:]) & set(c.ids[300:])
