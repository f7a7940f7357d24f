"""Ridge regression, both ways of solving it, against scikit-learn."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge

from siglino_core.evaluation.samples.ridge import fit

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("rows", [12, 20, 21, 200])  # the dual, and the normal equations, 20 channels wide
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_as_scikit_learn(rows: int, strength: float) -> None:
    x = (RNG.normal(size=(rows, 20)) * RNG.uniform(0.1, 3, 20) + 5).astype(np.float32)
    y, test = RNG.normal(size=(rows, 3)), RNG.normal(size=(9, 20)) + 5
    centred = x - x.mean(0, dtype=np.float64)
    penalty = strength * np.trace(centred.T @ centred) / 20
    expected = Ridge(alpha=penalty, solver="svd").fit(x.astype(np.float64), y).predict(test)
    assert fit(x, y, strength).scores(test) == pytest.approx(expected, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("rows", [12, 50])
def test_sparse_targets_are_the_same(rows: int) -> None:
    x, y = RNG.normal(size=(rows, 20)), np.eye(4)[RNG.integers(0, 4, rows)]
    assert fit(x, csr_array(y), 0.1).scores(x) == pytest.approx(fit(x, y, 0.1).scores(x))


def test_the_penalty_follows_the_features() -> None:
    x, y = RNG.normal(size=(40, 5)), RNG.normal(size=(40, 2))
    assert fit(1000 * x, y, 0.3).scores(1000 * x) == pytest.approx(fit(x, y, 0.3).scores(x))
    assert fit(np.tile(x, (7, 1)), np.tile(y, (7, 1)), 0.3).scores(x) == pytest.approx(fit(x, y, 0.3).scores(x))


def test_rows_that_are_all_the_same_teach_the_mean() -> None:
    assert fit(np.ones((6, 3)), np.arange(6.0)[:, None], 0.1).scores(np.zeros((2, 3))) == pytest.approx(2.5)
