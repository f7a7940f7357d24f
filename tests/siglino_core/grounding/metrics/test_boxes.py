"""Boxes: by hand, as torchvision has it where that has a number, and no sample lost."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou as theirs

from siglino_core.errors import DataError
from siglino_core.grounding.metrics.boxes import box_iou, box_iou_matrix, located, match, matched

NUMBERS = st.floats(-50, 50, allow_nan=False, width=32)
BOXES = st.tuples(NUMBERS, NUMBERS, st.floats(0.25, 40, width=32), st.floats(0.25, 40, width=32)).map(
    lambda v: [v[0], v[1], v[0] + v[2], v[1] + v[3]]
)
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1),
        ([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3),
        ([0, 0, 10, 10], [10, 0, 20, 10], 0),  # they touch; with a 1 added it would be more
        ([0, 0, 1, 1], [0, 0, 2, 1], 0.5),
        ([0, 0, 4, 4], [1, 1, 3, 3], 0.25),
        ([10, 0, 0, 10], [0, 0, 10, 10], 0),
        ([0, 10, 10, 0], [0, 10, 10, 0], 0),
        ([5, 5, 5, 9], [0, 0, 10, 10], 0),
        ([5, 5, 5, 5], [5, 5, 5, 5], 0),
        ([NAN, 0, 10, 10], [0, 0, 10, 10], 0),
        ([0, 0, INF, 10], [0, 0, 10, 10], 0),
        ([0, 0, 1e200, 1e200], [0, 0, 1e200, 1e200], 0),
    ],
)
def test_by_hand(one: list[float], other: list[float], expected: float) -> None:
    assert box_iou([one], [other])[0] == pytest.approx(expected, abs=1e-15)
    assert box_iou([other], [one])[0] == box_iou([one], [other])[0]


@given(st.lists(BOXES, min_size=1, max_size=5), st.lists(BOXES, min_size=1, max_size=5))
def test_torchvision_says_the_same(first: list[list[float]], second: list[list[float]]) -> None:
    expected = theirs(torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64))
    assert np.allclose(box_iou_matrix(first, second), expected.numpy(), atol=1e-12)


@given(BOXES, BOXES, st.floats(0.5, 30), st.floats(0.5, 30))
def test_what_always_holds(one: list[float], other: list[float], wider: float, higher: float) -> None:
    iou = float(box_iou([one], [other])[0])
    assert 0 <= iou <= 1
    assert box_iou([one], [one])[0] == 1
    scale = np.array([wider, higher] * 2)
    assert box_iou(one * scale[None], other * scale[None])[0] == pytest.approx(iou, abs=1e-9)


def test_missing_answers_stay_in_n() -> None:
    true = [[0, 0, 10, 10]] * 5
    found = located([[0, 0, 10, 10], None, [[0, 0, 10, 5], [0, 0, 10, 10]], np.empty((0, 4)), [9, 9, 0, 0]], true)
    assert found.iou_N.tolist() == [1, 0, 0.5, 0, 0]
    assert (found.n, found.mean_iou) == (5, 0.3)
    assert [found.accuracy(t) for t in (0.5, 0.75, 0.9)] == [0.4, 0.2, 0.2]
    assert found.hits().tolist() == [True, False, True, False, False]


def test_torch_and_half_precision_are_measured_in_fp64() -> None:
    boxes = torch.tensor([[0.0, 0.0, 0.1, 0.1]], dtype=torch.float32)
    expected = box_iou(boxes.double().numpy(), [[0, 0, 0.1, 0.1]])
    assert located([boxes[0]], [[0, 0, 0.1, 0.1]]).iou_N == expected
    assert expected.dtype == np.float64
    assert expected[0] < 1


def test_several_are_matched_one_to_one() -> None:
    true = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    predicted = [[21, 0, 31, 10], [0, 0, 10, 10], [0, 0, 10, 9], [90, 90, 99, 99]]
    one = match(predicted, true)
    assert dict(zip(one.predicted_M.tolist(), one.true_M.tolist(), strict=True)) == {0: 1, 1: 0}
    assert (one.found(), one.found(0.9), one.predicted, one.true) == (2, 1, 4, 3)
    assert one.f1() == pytest.approx(4 / 7)
    assert one.mean_iou == pytest.approx((1 + 9 / 11) / 4)


def test_the_matching_is_of_the_highest_sum_and_not_greedy() -> None:
    iou = np.array([[0.9, 0.8], [0.8, 0.1]])
    found = matched(iou)
    assert found.iou_M.tolist() == [0.8, 0.8]


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 10**6))
def test_no_other_matching_has_more(predicted: int, true: int, seed: int) -> None:
    iou = np.random.default_rng(seed).random((predicted, true))
    found = matched(iou)
    small, large = sorted((predicted, true))
    wide = iou if predicted <= true else iou.T
    best = max(sum(wide[i, p] for i, p in enumerate(order)) for order in permutations(range(large), small))
    assert found.iou_M.sum() == pytest.approx(best)
    assert len(set(found.predicted_M.tolist())) == len(set(found.true_M.tolist())) == len(found.iou_M)


def test_nothing_to_find() -> None:
    neither, invented, missed = match([], []), match([[0, 0, 1, 1]], []), match(np.empty((0, 4)), [[0, 0, 1, 1]])
    assert [m.f1() for m in (neither, invented, missed)] == [1, 0, 0]
    assert [m.mean_iou for m in (neither, invented, missed)] == [1, 0, 0]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="1 answers to 2 samples"):
        located([None], [[0, 0, 1, 1]] * 2)
    with pytest.raises(DataError, match="0 answers"):
        located([], np.empty((0, 4)))
    with pytest.raises(DataError, match="four numbers"):
        box_iou([[1, 2, 3]], [[1, 2, 3, 4]])
    with pytest.raises(DataError, match="each needs its other"):
        box_iou([[1, 2, 3, 4]], [[1, 2, 3, 4]] * 2)
    with pytest.raises(DataError, match="four numbers"):
        located([["a", "b", "c", "d"]], [[0, 0, 1, 1]])
