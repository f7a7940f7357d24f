"""Mixing parts: shares by ratio, no image again before all were used, and grids as the image processor's."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.distillation.packing import Mixture, Part, grids, native_between
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.models.resolution import Resolution
from tests.siglino_core.distillation.packing.sizes import mix, of_tokens, web_sizes


def part(name: str, images: int, **kw: object) -> Part:
    return Part(name=name, grids_N2=np.ones((images, 2), np.uint16), **kw)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 5)), min_size=1, max_size=4),
    st.integers(20, 200),
    st.integers(0, 5),
)
def test_each_image_once_before_any_again(parts: list[tuple[int, int]], images: int, seed: int) -> None:
    mixture = Mixture(parts=[part(str(i), n, ratio=r) for i, (n, r) in enumerate(parts)], images=images, seed=seed)
    total = sum(r for _, r in parts)
    seen: Counter[tuple[int, int]] = Counter()
    for epoch in range(3):
        number, index = mixture.draw(epoch, np.arange(len(mixture)))
        for i, (_, r) in enumerate(parts):
            assert abs((number == i).sum() - images * r / total) < 1
        seen.update(zip(number.tolist(), index.tolist(), strict=True))
        for i, (n, _) in enumerate(parts):
            uses = [seen[i, k] for k in range(n)]
            assert max(uses) - min(uses) <= 1
            assert sum(uses) == (epoch + 1) * mixture.counts[i]


def test_one_part_is_every_image_once_in_another_order_every_epoch() -> None:
    mixture = Mixture(parts=[part("all", 1000)])
    orders = [mix(mixture, epoch)[1] for epoch in range(2)]
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(1000))
    assert (orders[0] == orders[1]).sum() < 10
    assert (orders[0] == mix(Mixture(parts=[part("all", 1000)], seed=1), 0)[1]).sum() < 10


def test_a_part_that_begins_again_takes_another_order() -> None:
    mixture = Mixture(parts=[part("a", 100, ratio=1), part("b", 100, ratio=1)], images=100)
    halves = [set(i[n == 0].tolist()) for n, i in (mixture.draw(epoch, np.arange(100)) for epoch in range(4))]
    assert halves[0] | halves[1] == halves[2] | halves[3] == set(range(100))
    assert halves[0] not in (halves[2], halves[3])


def test_any_positions_are_what_the_whole_epoch_has_there() -> None:
    mixture = Mixture(parts=[part("a", 70, ratio=3), part("b", 30, ratio=1)], images=250)
    whole, some = mixture.draw(2, np.arange(250)), np.array([249, 0, 7])
    for got, want in zip(mixture.draw(2, some), whole, strict=True):
        assert np.array_equal(got, want[some])


def test_without_ratios_parts_count_by_their_size() -> None:
    mixture = Mixture(parts=[part("a", 70), part("b", 30)])
    assert mixture.counts == [70, 30]
    assert len(np.unique(np.stack(mixture.draw(0, np.arange(100))), axis=1).T) == 100


def test_rows_and_grids_of_an_epoch() -> None:
    heights, widths = web_sizes(50)
    middle = native_between(heights, widths, 256, 512)
    assert 0 < len(middle) < 50
    rule = Resolution(max_pixels=512**2)
    mixture = Mixture(
        parts=[
            Part.of("native", heights, widths, Resolution(max_pixels=768**2), ratio=1),
            Part.of("middle", heights[middle], widths[middle], rule, rows_N=middle, ratio=1),
        ],
        images=40,
    )
    parts, rows, got = mix(mixture, 0)
    assert (parts == 1).sum() == 20
    assert set(rows[parts == 1]) <= set(middle)
    assert np.array_equal(got[parts == 1], grids(heights, widths, rule)[rows[parts == 1]])
    processor = SigLinoImageProcessor(max_pixels=768**2)
    for row, grid in zip(rows[parts == 0], got[parts == 0], strict=True):
        assert processor.target_size(int(heights[row]), int(widths[row])) == tuple((16 * grid.astype(int)).tolist())


def test_native_between_has_both_bounds() -> None:
    heights, widths = np.array([255, 256, 384, 384]), np.array([256, 256, 384, 385])
    assert native_between(heights, widths, 256, 384).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mixture(parts=[]), "0 parts: 1 to 255"),
        (lambda: Mixture(parts=[part("a", 1), part("a", 1)]), "each name once"),
        (lambda: Mixture(parts=[part("a", 1, ratio=1), part("b", 1)]), "ratios of a 1, b None: all, or none"),
        (lambda: Mixture(parts=[part("a", 9, ratio=1), part("b", 1, ratio=1e-9)]), "part 'b': ratio=1e-09 of 10"),
        (lambda: part("a", 0), "part 'a' has no images"),
        (lambda: part("a", 1, ratio=0), "part 'a': ratio=0: above 0"),
        (lambda: part("a", 1, ratio=float("nan")), "part 'a': ratio=nan: above 0"),
        (lambda: part("a", 2, rows_N=np.arange(3)), "part 'a': 3 rows for 2 grids"),
        (lambda: Part(name="a", grids_N2=np.ones((2, 2))), r"part 'a': grids are integers \[N, 2\]"),
        (lambda: Part(name="a", grids_N2=np.ones(2, np.uint16)), r"these are uint16 \[2\]"),
    ],
)
def test_what_cannot_be_mixed(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_the_fingerprint_is_of_all_that_shapes_an_epoch() -> None:
    a, rows = of_tokens(10, 20, 30), np.arange(3)
    grid = a.parts[0].grids_N2
    same = Mixture(parts=[Part(name="all", grids_N2=grid.astype(np.int64))])
    assert a.fingerprint == of_tokens(10, 20, 30).fingerprint == same.fingerprint
    others = [
        of_tokens(10, 20, 31),
        of_tokens(10, 20, 30, seed=1),
        Mixture(parts=a.parts, images=2),
        Mixture(parts=[Part(name="all", grids_N2=grid, rows_N=rows)]),
        Mixture(parts=[Part(name="other", grids_N2=grid)]),
    ]
    assert len({m.fingerprint for m in [a, *others]}) == 6
