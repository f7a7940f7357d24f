"""Clusters by what is left to learn on them: late losses, drawn to the mean where they are of few images."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from siglino_core import schema
from siglino_core.curation.sampling.remaining import PRIOR, remaining
from siglino_core.errors import DataError


def table(*rows: tuple[int, int, int, int, float]) -> pa.Table:
    """Rows of (cluster, first step, last step, images, loss)."""
    names = ("cluster", "first_step", "last_step", "images", "loss")
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)}).cast(schema.CLUSTER_LOSS)


def test_only_the_end_of_a_training_counts() -> None:
    early = [(0, 0, 9, 1000, 9.0), (1, 0, 9, 1000, 0.1), (0, 10, 29, 1000, 9.0), (1, 10, 29, 1000, 0.1)]
    late = [(0, 30, 39, 10**6, 1.0), (1, 30, 39, 10**6, 3.0)]
    np.testing.assert_allclose(remaining(table(*early, *late), 2), [0.5, 1.5], rtol=1e-4)


def test_few_images_are_drawn_to_the_mean_and_none_is_the_mean() -> None:
    found = remaining(table((0, 0, 0, 984, 1.0), (1, 0, 0, 16, 3.0)), 3)
    mean = (984 + 48) / 1000
    expected = [(984 + PRIOR * mean) / (984 + PRIOR) / mean, (48 + PRIOR * mean) / (16 + PRIOR) / mean, 1.0]
    np.testing.assert_allclose(found, expected)
    assert found[1] < 3 / mean


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0, -1.0])
def test_a_power(power: float) -> None:
    one = remaining(table((0, 0, 0, 100, 1.0), (1, 0, 0, 100, 3.0)), 2)
    np.testing.assert_allclose(remaining(table((0, 0, 0, 100, 1.0), (1, 0, 0, 100, 3.0)), 2, power), one**power)


def test_a_training_without_any_loss_left_weighs_all_alike() -> None:
    np.testing.assert_array_equal(remaining(table((0, 0, 0, 5, 0.0), (1, 0, 0, 5, 0.0)), 3), np.ones(3))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no losses by cluster"),
        ([(2, 0, 0, 5, 1.0)], "cluster 2, where there are 2: of another clustering"),
        ([(0, 0, 0, 5, -1.0)], "below 0 or not finite"),
        ([(0, 0, 0, 5, float("nan"))], "below 0 or not finite"),
    ],
)
def test_losses_that_cannot_be(rows: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        remaining(table(*rows), 2)
