"""Measures by hand, and the bars of padding and balance on images like the web's."""

import numpy as np
import pytest

from siglino_core.config import Match, PackConfig
from siglino_core.distillation.packing import Cost, Mixture, Plan
from siglino_core.models.config import PRESETS
from tests.siglino_core.distillation.packing.measures import greedy, imbalance, measure, padded_to_longest
from tests.siglino_core.distillation.packing.sizes import NATIVE, mixed, of_tokens, web


def test_by_hand() -> None:
    assert imbalance(np.array([[1.0, 3.0], [2.0, 2.0]])) == pytest.approx((0.5 + 0) / 2)
    assert padded_to_longest([1, 2, 3, 3, 9], 2) == pytest.approx(1 - 9 / 10)
    assert greedy([6, 5, 4, 1], capacity=10, max_images=2) == pytest.approx(1 - 16 / 30)


def test_a_rank_works_on_every_world_th_shard() -> None:
    config = PackConfig(packs_per_step=6, capacity=60, match=Match.NONE)
    found = Plan(of_tokens(*range(20, 60)), config, Cost(linear=1, quadratic=1))
    ranks = np.array([[sum(p.tokens for p in found.packs_for(0, rank, 3)) for rank in range(3)]], float)
    assert imbalance(ranks) > 0
    assert measure(found, [0], 3).token_imbalance == pytest.approx(imbalance(ranks))


def test_of_a_plan() -> None:
    found = Plan(of_tokens(10, 20), PackConfig(packs_per_step=2, capacity=20, window=1), Cost(linear=1, quadratic=1))
    got = measure(found, range(3), 2)
    assert got.padding == pytest.approx(0.25)
    assert got.token_imbalance == pytest.approx(20 / 15 - 1)
    assert got.flop_imbalance == pytest.approx(420 / 265 - 1)
    assert got.images_per_pack == 1
    assert measure(found, range(3), 1).token_imbalance == 0
    with pytest.raises(ValueError, match="no steps"):
        measure(found, [], 2)
    with pytest.raises(ValueError, match="packs_per_step=2 over 3 ranks"):
        measure(found, range(3), 3)


@pytest.mark.parametrize("sizes", ["native", "mixed"])
def test_bars_over_32_ranks(sizes: str) -> None:
    mixture: Mixture = web(120_000, NATIVE) if sizes == "native" else mixed(120_000)
    cost = Cost.of(PRESETS["siglino-moe-0.3b"])
    for match, bar in ((Match.SHARDS, 0.035), (Match.GLOBAL, 0.015)):
        got = measure(Plan(mixture, PackConfig(packs_per_step=32, match=match), cost), range(5 * 64), 32)
        assert got.padding <= 0.005
        assert got.token_imbalance <= 0.007
        assert got.flop_imbalance <= bar
