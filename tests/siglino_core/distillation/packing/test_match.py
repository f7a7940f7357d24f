"""Matching packs by cost: each once, equal ones together, and no order of costs left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.config import Match
from siglino_core.distillation.packing.match import deal
from tests.siglino_core.distillation.packing.measures import imbalance


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from(list(Match)), st.integers(0, 2**63))
def test_every_pack_once(steps: int, packs: int, match: Match, key: int) -> None:
    cost = np.random.default_rng(key).integers(0, 5, (steps, packs)).astype(float)  # many ties
    found = deal(cost, match, key)
    assert found.shape == cost.shape
    assert np.array_equal(np.sort(found.ravel()), np.arange(cost.size))
    if match != Match.GLOBAL:
        assert (found % packs == np.arange(packs)).all()  # everyone stays in its virtual shard


def test_the_better_the_match_the_less_they_wait() -> None:
    cost = np.random.default_rng(0).normal(10, 1, (64, 32))
    none, shards, all_ = (imbalance(cost.ravel()[deal(cost, m, 1)]) for m in (Match.NONE, Match.SHARDS, Match.GLOBAL))
    assert none > 3 * shards > 9 * all_


@pytest.mark.parametrize("match", [Match.SHARDS, Match.GLOBAL])
def test_training_does_not_see_costs_in_order(match: Match) -> None:
    cost = np.random.default_rng(0).normal(10, 1, (64, 32))
    one, other = (cost.ravel()[deal(cost, match, key)] for key in (1, 2))
    means = one.mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(64))[0, 1]) < 0.4
    assert not np.array_equal(one, other)
    assert np.allclose(np.sort(means), np.sort(other.mean(axis=1)))
    if match == Match.GLOBAL:  # nor does a virtual shard always hold the costliest
        assert (np.bincount(one.argmax(axis=1), minlength=32) <= 10).all()
