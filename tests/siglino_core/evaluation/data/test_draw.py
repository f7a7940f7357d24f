"""The draw against a sort of all: whatever the blocks and their order; the same images, and bounded memory."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from siglino_core.evaluation.data.draw import Draw
from siglino_core.hashing import uniform

KEY = 7


def fed(bits_N: np.ndarray, sizes: list[int], most: int) -> Draw:
    """Block after block, of the sizes in turn."""
    draw, at, i = Draw(most=most, key=KEY), 0, 0
    while at < len(bits_N):
        part_N = bits_N[at : at + sizes[i % len(sizes)]]
        draw.add(part_N, i, np.arange(len(part_N)))
        at, i = at + len(part_N), i + 1
    return draw


def bits_of(draw: Draw, bits_N: np.ndarray, sizes: list[int]) -> set[int]:
    starts = np.cumsum([0, *(sizes[i % len(sizes)] for i in range(len(bits_N)))])
    return {int(bits_N[starts[block] + row]) for block, rows in draw.rows().items() for row in rows}


@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=60, unique=True),
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
    st.integers(0, 70),
)
def test_the_lowest_numbers_wherever_blocks_end(ids: list[int], sizes: list[int], most: int) -> None:
    bits_N = np.array(ids, np.uint64)
    order = np.argsort(uniform(KEY, bits_N))
    expected = {int(b) for b in bits_N[order[: most or None]]}
    draw = fed(bits_N, sizes, most)
    assert bits_of(draw, bits_N, sizes) == expected
    assert draw.seen == len(ids)


def test_rows_are_sorted_and_blocks_without_any_are_not_there() -> None:
    bits_N = np.random.default_rng(0).integers(0, 2**63, 2000).astype(np.uint64)
    rows = fed(bits_N, [10], 30).rows()
    assert sum(map(len, rows.values())) == 30
    assert len(rows) < 200
    assert all(len(r) and (np.diff(r) > 0).all() for r in rows.values())


def test_memory_is_bounded() -> None:
    draw = Draw(most=50, key=KEY)
    rng = np.random.default_rng(0)
    for i in range(200):
        draw.add(rng.integers(0, 2**63, 40).astype(np.uint64), i, np.arange(40))
        assert len(draw._numbers_M) <= 2 * 50 + 40
    assert draw.seen == 8000


def test_nothing() -> None:
    assert Draw(most=5, key=KEY).rows() == {}
