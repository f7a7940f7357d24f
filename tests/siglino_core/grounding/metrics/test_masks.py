"""Masks: by hand, as COCO's tools have it, empty ones defined, and cIoU as the bootstrap's ratio."""

import numpy as np
import pytest
from faster_coco_eval.core import mask as tools
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.grounding.metrics.boxes import matched
from siglino_core.grounding.metrics.masks import mask_iou_matrix, overlaps, union
from siglino_core.statistics.bootstrap import ratio, statistic_interval


def bar(*ends: int) -> np.ndarray:
    """A row of 100 pixels with those from the first to the second end."""
    mask = np.zeros((1, 100), bool)
    mask[0, slice(*ends)] = True
    return mask


def test_the_two_means_differ() -> None:
    found = overlaps([bar(0, 90), bar(0, 5)], [bar(0, 100), bar(5, 10)])
    assert (found.inter_N.tolist(), found.union_N.tolist()) == ([90, 0], [100, 10])
    assert found.mean_iou == pytest.approx(0.45)
    assert found.cumulative_iou == pytest.approx(90 / 110)
    assert [found.precision(t) for t in (0.5, 0.9, 0.95)] == [0.5, 0.5, 0]


def test_empty_masks() -> None:
    found = overlaps([None, bar(0, 0), None, bar(0, 4)], [None, None, bar(0, 4), None])
    assert found.iou_N.tolist() == [1, 1, 0, 0]
    assert (found.n, found.mean_iou, found.cumulative_iou) == (4, 0.5, 0)
    assert overlaps([None], [None]).cumulative_iou == 1


@given(st.integers(0, 10**6), st.integers(0, 4), st.integers(0, 4))
def test_coco_tools_say_the_same(seed: int, first: int, second: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [rng.random((9, 7)) < rng.uniform(0.1, 0.9) for _ in range(first + second)]
    masks = [m if m.any() else ~m for m in masks]
    found = mask_iou_matrix(masks[:first], masks[first:])
    assert found.shape == (first, second)
    if first and second:
        codes = [tools.encode(np.asfortranarray(m.astype(np.uint8))) for m in masks]
        assert np.allclose(found, tools.iou(codes[:first], codes[first:], [0] * second))
        one = overlaps([masks[0]], [masks[first]])
        assert one.iou_N[0] == pytest.approx(found[0, 0])


def test_several_masks_are_matched_or_joined() -> None:
    predicted, true = [bar(50, 60), bar(0, 10), bar(0, 0)], [bar(0, 10), bar(50, 55)]
    pairs = matched(mask_iou_matrix(predicted, true))
    assert (pairs.found(), pairs.predicted, pairs.true) == (2, 3, 2)
    joined = union(true)
    assert joined is not None
    assert np.flatnonzero(joined).tolist() == [*range(10), *range(50, 55)]
    assert union([]) is None


def test_rows_make_an_interval() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((8, 8)) < 0.5 for _ in range(40)]
    found = overlaps(masks[:20], masks[20:])
    interval = statistic_interval(found.rows_N2, ratio, np.arange(20) // 2)
    assert interval.mean == pytest.approx(found.cumulative_iou)
    assert interval.low is not None
    assert interval.low < interval.mean


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"sample 0 has masks of bool \(1, 100\), bool \(2, 50\)"):
        overlaps([bar(0, 3)], [np.zeros((2, 50), bool)])
    with pytest.raises(DataError, match="uint8"):
        overlaps([bar(0, 3).astype(np.uint8)], [bar(0, 3)])
    with pytest.raises(DataError, match="2 predicted masks for 1 samples"):
        overlaps([None, None], [None])
    with pytest.raises(DataError, match="0 predicted"):
        overlaps([], [])
    with pytest.raises(DataError, match="all need bool"):
        mask_iou_matrix([bar(0, 3)], [bar(0, 3)[0]])
