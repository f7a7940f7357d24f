"""One answer against the truth: by hand, and whatever is degenerate."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou as theirs

from siglino_core import schema
from siglino_core.grounding.data import rle
from siglino_core.grounding.judged.answer import Kind, judged, of_box, of_reply
from siglino_core.grounding.predict import Instance, Reply
from tests.siglino_core.grounding.judged.rows import SIDE, expression, mask, row, saying

NAN, INF = float("nan"), float("inf")


def test_by_hand() -> None:
    true = expression([[0, 0, 10, 10], [10, 10, 20, 20]], [mask(0, 0, 10, 10), mask(10, 10, 20, 20)])
    said = saying([[5, 0, 15, 10], [10, 10, 20, 20]], scores=(0.9, 0.4), masks=(mask(0, 0, 10, 10), mask(0, 10, 5, 20)))
    found = row(true, said)
    assert found["iou"] == pytest.approx(1 / 3)
    assert found["best_iou"] == 1
    assert found["pairs"] == pytest.approx([1, 1 / 3])
    assert (found["inter"], found["union"]) == (100, 250)
    assert (rle.decode(found["masks"][1], SIDE, SIDE) == mask(0, 10, 5, 20)).all()
    assert found["said"]
    assert pa.Table.from_pylist([found], schema.ANSWERS).num_rows == 1


@pytest.mark.parametrize(
    "box", [[5, 5, 5, 9], [9, 9, 1, 1], [NAN, 0, 1, 1], [0, 0, INF, 10], [-1e300, 0, 1e300, 9], [30, 30, 40, 40]]
)
def test_degenerate_boxes_are_misses_and_can_be_stored(box: list[float]) -> None:
    found = row(expression([[0, 0, 10, 10]]), saying([box]))
    assert (found["iou"], found["best_iou"], found["pairs"], len(found["predicted"])) == (0, 0, [], 1)
    stored = pa.Table.from_pylist([found], schema.ANSWERS)["predicted"].to_pylist()[0][0]
    assert np.isfinite(stored).all()


def test_nothing_said_and_nothing_there() -> None:
    missed = row(expression([[0, 0, 10, 10]], [mask(0, 0, 10, 10)]), saying([], masks=()))
    assert (missed["iou"], missed["said"], missed["inter"], missed["union"]) == (0, False, 0, 100)
    absent = row(expression([], []), saying([], masks=()))
    assert (absent["iou"], absent["inter"], absent["union"]) == (0, 0, 0)
    invented = row(expression([], []), saying([[0, 0, 10, 10]], masks=(mask(0, 0, 10, 10),)))
    assert (invented["said"], invented["pairs"], invented["union"]) == (True, [], 100)
    assert row(expression([[0, 0, 1, 1]]), saying([], masks=()))["union"] is None
    assert row(expression([[0, 0, 1, 1]], [mask(0, 0, 1, 1)]), saying([]))["union"] is None


NUMBERS = st.floats(0, 19, width=32)
BOXES = st.tuples(NUMBERS, NUMBERS, st.floats(0.25, 9, width=32), st.floats(0.25, 9, width=32)).map(
    lambda v: [v[0], v[1], v[0] + v[2], v[1] + v[3]]
)


@given(st.lists(BOXES, min_size=1, max_size=4), st.lists(BOXES, min_size=1, max_size=4))
def test_torchvision_says_the_same(true: list[list[float]], predicted: list[list[float]]) -> None:
    stored = np.array(true, np.float32).astype(np.float64)
    iou = theirs(torch.tensor(predicted, dtype=torch.float64), torch.from_numpy(stored)).numpy()
    found = row(expression(true), saying(predicted))
    assert found["iou"] == pytest.approx(iou[0].max(), abs=1e-9)
    assert found["best_iou"] == pytest.approx(iou.max(), abs=1e-9)


def test_a_reply_is_sorted_by_its_scores() -> None:
    small, large = mask(0, 0, 1, 1), mask(0, 0, 5, 5)
    reply = Reply(0.7, [Instance((0, 0, 1, 1), 0.2, small, 0.7), Instance((0, 0, 5, 5), 0.8, large, 0.7)], True)
    found = of_reply(reply, masks=True)
    assert found.scores == (0.8, 0.2)
    assert found.boxes_P4[0].tolist() == [0, 0, 5, 5]
    assert found.masks is not None
    assert found.masks[0].sum() == 25
    assert of_reply(reply, masks=False).masks is None
    forced = of_reply(Reply(0.3, reply.instances, True), masks=False)
    assert forced.said is False  # a box was asked for, and yet it holds that there is none


def test_a_box_for_everything_is_a_mask_of_the_pixels_whose_middle_it_has() -> None:
    found = of_box(np.array([0.1, 0.0, 0.475, 1.2]), 20, 10, masks=True)
    assert found.boxes_P4[0].tolist() == pytest.approx([2, 0, 9.5, 12])
    assert found.masks is not None
    assert found.masks[0].sum() == 7 * 10  # columns 2 to 8
    assert found.masks[0].shape == (10, 20)
    assert of_box(np.array([0.1, 0, 0.5, 1]), 20, 10, masks=False).masks is None


def test_another_text_is_written_beside_the_expression() -> None:
    found = judged(expression([]), saying([]), size=(SIDE, SIDE), kind=Kind.SHUFFLED, asked="that", keep=False)
    assert (found["text"], found["asked"], found["kind"], found["masks"]) == ("it", "that", "shuffled", None)
