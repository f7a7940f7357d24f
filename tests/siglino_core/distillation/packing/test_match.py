"""Which packs meet: any run of the row is like the whole, and ranks get like packs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.config import Match
from siglino_core.distillation.packing.match import deal, interleave
from tests.siglino_core.distillation.packing.measures import imbalance


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 10**6), st.floats(0, 0.999))
def test_every_pack_once(packs: int, parts: int, seed: int, start: float) -> None:
    rng = np.random.default_rng(seed)
    size_P = rng.integers(1, 5, packs)
    part_N = rng.integers(0, parts, size_P.sum()).astype(np.uint8)
    order_P = interleave(part_N, rng.integers(1, 9, len(part_N)), size_P, start)
    assert np.array_equal(np.sort(order_P), np.arange(packs))


@pytest.mark.parametrize("start", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("run", [2, 7, 32, 55, 416])
def test_any_run_of_packs_has_its_share_of_every_kind(start: float, run: int) -> None:
    """Three kinds of packs, in stretches as a packer makes them: a tenth, three tenths, and six."""
    kind_P = np.repeat([0, 1, 2], [500, 1500, 3000])
    part_N, tokens_N = kind_P.astype(np.uint8), np.array([9, 5, 2])[kind_P]
    found_P = kind_P[interleave(part_N, tokens_N, np.ones(5000, np.int64), start)]
    for kind, share in ((0, 0.1), (1, 0.3), (2, 0.6)):
        before = np.concatenate([[0], np.cumsum(found_P == kind)])
        counts = before[run:] - before[:-run]
        assert abs(counts - share * run).max() <= 2.5


def test_packs_of_the_same_parts_are_told_apart_by_their_largest_images() -> None:
    tokens_N = np.tile([6, 2, 4, 4], 500)  # packs of as many tokens, not of the same cost
    order_P = interleave(np.zeros(2000, np.uint8), tokens_N, np.full(1000, 2), 0.1)
    assert abs((order_P % 2).reshape(100, 10).sum(axis=1) - 5).max() <= 1


def test_the_start_turns_the_row() -> None:
    tokens_N = np.arange(1, 101)
    one, other = (interleave(np.zeros(100, np.uint8), tokens_N, np.ones(100, np.int64), s) for s in (0.0, 0.5))
    assert one[0] == 0
    assert abs(other[0] - 50) <= 2


def test_a_step_is_sorted_by_cost_or_as_it_comes() -> None:
    cost_V = np.array([3.0, 1.0, 2.0, 1.0])
    assert deal(cost_V, Match.STEP).tolist() == [1, 3, 2, 0]
    assert deal(cost_V, Match.NONE).tolist() == [0, 1, 2, 3]


def test_sorted_packs_make_ranks_wait_less() -> None:
    cost_SV = np.random.default_rng(0).normal(10, 1, (64, 416))
    none, step = (imbalance(np.concatenate([c[deal(c, match)].reshape(-1, 32) for c in cost_SV])) for match in Match)
    assert none > 5 * step
