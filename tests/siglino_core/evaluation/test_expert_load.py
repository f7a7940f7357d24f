"""Loads by kind of token, by hand."""

import numpy as np
import pytest
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation.expert_load import expert_counts, expert_load, token_kinds


def test_kinds() -> None:
    assert token_kinds(2, [3, 1]).tolist() == [0, 1, 1, 2, 2, 2, 0, 1, 1, 2]
    assert token_kinds(0, [2]).tolist() == [0, 2, 2]
    assert token_kinds(4, []).tolist() == []


def test_by_hand() -> None:
    chosen = torch.tensor([[0, 1], [0, 2], [1, 2], [1, 3]])
    counts = expert_counts(chosen, token_kinds(1, [2]), 5)
    assert counts.tolist() == [[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 2, 1, 1, 0]]
    found = expert_load(np.stack([counts, counts * [[1], [0], [1]]]))
    np.testing.assert_allclose(found.share_LKE[0], [[0.5, 0.5, 0, 0, 0], [0.5, 0, 0.5, 0, 0], [0, 0.5, 0.25, 0.25, 0]])
    np.testing.assert_allclose(found.effective_LK[0], [2, 2, 2**1.5])
    np.testing.assert_allclose(found.entropy_LK[0], np.log([2, 2, 2**1.5]) / np.log(5))
    assert found.unused_L.tolist() == [1, 1]
    assert np.isnan(found.share_LKE[1, 1]).all()
    assert np.isnan(found.entropy_LK[1, 1])
    assert found.effective_LK[1, 1] == 0


def test_counts_of_packs_add_up() -> None:
    rng = np.random.default_rng(0)
    chosen, kinds = rng.integers(0, 6, size=(40, 3)), rng.integers(0, 3, size=40)
    parts = expert_counts(chosen[:17], kinds[:17], 6) + expert_counts(chosen[17:], kinds[17:], 6)
    np.testing.assert_array_equal(parts, expert_counts(chosen, kinds, 6))
    assert parts.sum() == 120


def test_balanced_and_collapsed() -> None:
    counts = np.zeros((1, 3, 8), int)
    counts[0, 0, 3] = 10
    counts[0, 2] = 7
    found = expert_load(counts)
    np.testing.assert_allclose(found.effective_LK, [[1, 0, 8]])
    np.testing.assert_allclose(found.entropy_LK, [[0, np.nan, 1]])


@pytest.mark.parametrize(
    ("chosen", "kinds", "says"),
    [
        ([[0, 5]], [0], "choices say 5"),
        ([[0, 1]], [3], "kinds of tokens say 3"),
        ([[0, 1]], [0, 1], "for 1 rows"),
        ([0, 1], [0, 1], r"choices of shape \(2,\)"),
    ],
)
def test_refused(chosen: list, kinds: list[int], says: str) -> None:
    with pytest.raises(DataError, match=says):
        expert_counts(chosen, kinds, 5)
    with pytest.raises(DataError, match="counts of shape"):
        expert_load(np.zeros((2, 5)))
