"""Objects by how many there are: found, missed, invented, and nothing counted twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.grounding.metrics.boxes import Matched, match
from siglino_core.grounding.metrics.counts import BUCKETS, Counted, by_count


def row(true: int, right: int, wrong: int) -> Matched:
    """Boxes side by side: so many are there, so many of them found, and so many said elsewhere."""
    places = [[20 * i, 0, 20 * i + 10, 10] for i in range(true)]
    return match([*places[:right], *([20 * i, 50, 20 * i + 10, 60] for i in range(wrong))], places)


def test_by_hand() -> None:
    found = by_count([row(0, 0, 0), row(0, 0, 2), row(1, 1, 1), row(2, 1, 0), row(4, 3, 1), row(5, 5, 0), row(9, 2, 0)])
    assert list(found) == list(BUCKETS) == ["0", "1", "2", "3-5", "6+"]
    assert found["0"] == Counted(samples=2, found=0, missed=0, invented=2)
    assert found["1"] == Counted(samples=1, found=1, missed=0, invented=1)
    assert found["2"] == Counted(samples=1, found=1, missed=1, invented=0)
    assert found["3-5"] == Counted(samples=2, found=8, missed=1, invented=1)
    assert found["6+"] == Counted(samples=1, found=2, missed=7, invented=0)
    assert found["3-5"].f1 == pytest.approx(16 / 18)
    assert found["0"].f1 == 0
    assert by_count([])["1"].f1 is None


def test_the_threshold_decides() -> None:
    half = match([[0, 0, 10, 6]], [[0, 0, 10, 10]])
    assert by_count([half])["1"] == Counted(samples=1, found=1, missed=0, invented=0)
    assert by_count([half], 0.75)["1"] == Counted(samples=1, found=0, missed=1, invented=1)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 3)), max_size=12))
def test_all_is_counted_once(rows: list[tuple[int, int, int]]) -> None:
    matches = [row(true, min(true, right), wrong) for true, right, wrong in rows]
    found = by_count(matches).values()
    assert sum(b.samples for b in found) == len(rows)
    assert sum(b.found + b.missed for b in found) == sum(m.true for m in matches)
    assert sum(b.found + b.invented for b in found) == sum(m.predicted for m in matches)
