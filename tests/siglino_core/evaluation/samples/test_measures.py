"""What a sample holds, against plain formulas."""

import numpy as np
import pytest

from siglino_core.evaluation.samples.measures import balance, near_duplicates

RNG = np.random.default_rng(0)


def test_balance() -> None:
    found = balance(np.array([4, 4, 0, 0]), np.array([90, 5, 20, 3]))
    assert found == {"effective_labels": pytest.approx(2), "rare_half_share": 0.5, "labels_covered": 2}


@pytest.mark.parametrize("cells", [1 << 24, 100])
def test_near_duplicates_are_all_that_have_one(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siglino_core.evaluation.arrays.CELLS", cells)
    x = RNG.normal(size=(60, 8))
    x[[5, 41]] = x[[50, 9]] + 0.01 * RNG.normal(size=(2, 8))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    cosine = x @ x.T - 2 * np.eye(60)
    for limit in (0.99, 0.8, 0.5):
        assert near_duplicates(x, limit) == pytest.approx((cosine.max(1) >= limit).mean())
    assert near_duplicates(x, 0.99) == pytest.approx(4 / 60)
    assert near_duplicates(x[:0], 0.9) == 0
