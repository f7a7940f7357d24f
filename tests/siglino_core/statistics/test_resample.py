"""Draws of distinct rows are draws of rows, and blocks change nothing."""

import numpy as np
import pytest

from siglino_core.errors import DataError
from siglino_core.statistics import resample
from siglino_core.statistics.bootstrap import mean_iou, ratio
from siglino_core.statistics.resample import as_rows, by_group


def test_draws_of_distinct_rows_are_draws_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    values = (np.random.default_rng(3).random(400) < 0.3).astype(float)
    rows = np.stack([values, np.ones(400)], 1)
    together = resample.resampled(rows, ratio, draws=4000, seed=0)
    monkeypatch.setattr(resample, "FEW", 0)
    one_by_one = resample.resampled(rows, ratio, draws=4000, seed=0)
    for found in together, one_by_one:
        assert found.mean() == pytest.approx(values.mean(), abs=0.002)
        assert found.std() == pytest.approx(values.std() / 20, rel=0.05)


def test_blocks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(4).random((30, 6))
    whole = resample.resampled(rows, mean_iou, draws=50, seed=1)
    monkeypatch.setattr(resample, "CELLS", 100)
    np.testing.assert_allclose(resample.resampled(rows, mean_iou, draws=50, seed=1), whole, rtol=1e-12)
    np.testing.assert_allclose(
        resample.left_out(rows, mean_iou), [mean_iou(np.delete(rows, i, 0).sum(0)[None])[0] for i in range(30)]
    )


def test_every_draw_has_as_many_samples() -> None:
    for rows in np.ones((50, 1)), np.arange(50.0)[:, None] * 0 + [[1, *range(9)]]:
        sums = resample.resampled(rows, lambda sums_BV: sums_BV[:, 0], draws=20, seed=0)
        np.testing.assert_allclose(sums, 50)


def test_rows_of_a_group_are_summed_and_counted() -> None:
    rows = as_rows(np.array([1.0, 2, 4, 8]))
    np.testing.assert_array_equal(by_group(rows, np.array(["b", "a", "b", "c"])), [[2, 1], [5, 2], [8, 1]])
    np.testing.assert_array_equal(by_group(rows, None), [[1, 1], [2, 1], [4, 1], [8, 1]])


def test_shapes() -> None:
    assert as_rows(np.ones((3, 2))).shape == (3, 2)
    with pytest.raises(DataError, match=r"samples of shape \(1, 2, 3\)"):
        as_rows(np.ones((1, 2, 3)))
