"""Numbers by hand, and how sure they are."""

import numpy as np
import pytest

from siglino_core.grounding.judged.numbers import Numbers, of_boxes, of_masks, of_presence
from tests.siglino_core.grounding.judged.rows import expression, mask, row, saying, series

BOX = [0.0, 0.0, 10.0, 10.0]
HALF = [0.0, 0.0, 10.0, 5.0]  # IoU 0.5 with it
EDGE = [0.0, 0.0, 10.0, 9.0]  # 0.9
AWAY = [10.0, 10.0, 20.0, 20.0]


def value(numbers: Numbers | None, name: str) -> float:
    assert numbers is not None
    return numbers.metrics[name].value


def test_boxes_of_one_referent_are_judged_by_the_surest() -> None:
    said = [[BOX], [HALF], [EDGE], [AWAY, BOX], []]
    rows = [row(expression([BOX]), saying(boxes), image=f"i{i}") for i, boxes in enumerate(said)]
    rows.append(row(expression([]), saying([BOX])))  # absent: no box to find
    found = of_boxes(series(rows))
    assert found is not None
    assert next(iter(found.metrics)) == found.headline == "accuracy@0.5"
    assert value(found, "accuracy@0.5") == 0.6
    assert value(found, "accuracy@0.75") == value(found, "accuracy@0.9") == 0.4
    assert value(found, "mean_iou") == pytest.approx(2.4 / 5)
    assert found.metrics["accuracy@0.5"].n == 5
    assert found.metrics["accuracy@0.5"].method == "bootstrap, drawn by image"
    assert value(found, "f1@0.5, 1") == pytest.approx(2 * 4 / (5 + 5))  # found by any box: 4; predicted 5, true 5
    assert "several_f1@0.5" not in found.metrics


def test_several_referents_are_matched_one_to_one() -> None:
    three = [BOX, AWAY, [10.0, 0.0, 20.0, 10.0]]
    rows = [
        row(expression(three), saying([BOX, BOX, AWAY]), image="a"),  # 2 of 3, one invented: F1 2/3
        row(expression([BOX, AWAY]), saying([BOX, AWAY]), image="b"),
    ]
    found = of_boxes(series(rows))
    assert value(found, "several_f1@0.5") == pytest.approx((2 / 3 + 1) / 2)
    assert value(found, "f1@0.5, 2") == 1
    assert value(found, "f1@0.5, 3-5") == pytest.approx(4 / 6)
    assert found is not None
    assert found.headline == "several_f1@0.5"


def test_nothing_to_find_has_no_numbers() -> None:
    assert of_boxes(series([row(expression([]), saying([BOX]))])) is None
    assert of_masks(series([row(expression([BOX]), saying([BOX]))])) is None
    assert of_presence(series([row(expression([BOX]), saying([]))])) is None


def test_masks_by_hand() -> None:
    true = mask(0, 0, 10, 10)
    rows = [
        row(expression([BOX], [true]), saying([BOX], masks=(mask(0, 0, 10, 9),)), image="a"),  # 90 / 100
        row(expression([AWAY], [mask(10, 10, 11, 20)]), saying([], masks=()), image="b"),  # 0 / 10
        row(expression([], []), saying([], masks=()), image="c"),  # both are empty
        row(expression([BOX]), saying([BOX], masks=(true,)), image="d"),  # has none to compare
    ]
    found = of_masks(series(rows))
    assert value(found, "miou") == pytest.approx((0.9 + 0 + 1) / 3)
    assert value(found, "miou, present") == pytest.approx((0.9 + 0) / 2)
    assert value(found, "ciou") == pytest.approx(90 / 110)
    assert value(found, "precision@0.5") == value(found, "precision@0.9") == pytest.approx(2 / 3)
    assert found is not None
    assert (found.metrics["miou"].n, found.metrics["miou, present"].n) == (3, 2)
    empty = of_masks(series([row(expression([], []), saying([], masks=()), image=i) for i in "ab"]))
    assert value(empty, "ciou") == value(empty, "miou") == 1
    assert empty is not None
    assert "miou, present" not in empty.metrics


def test_presence_by_hand() -> None:
    there, absent, yes, no = expression([BOX]), expression([]), saying([BOX]), saying([])
    pairs = [(there, yes)] * 40 + [(absent, no)] * 40 + [(absent, yes)] * 10 + [(there, no)] * 10
    found = of_presence(series([row(true, said, image=f"i{i}") for i, (true, said) in enumerate(pairs)]))
    assert value(found, "accuracy") == 0.8
    assert value(found, "mcc") == pytest.approx(0.6)
    always = of_presence(series([row(true, yes, image=f"i{i}") for i, (true, _) in enumerate(pairs)]))
    assert always is not None
    assert (always.metrics["mcc"].value, always.metrics["mcc"].low) == (0, None)  # it never differs


def test_intervals_draw_images_and_not_expressions() -> None:
    def width(images: list[str]) -> float:
        said = [[BOX] if i < 25 else [AWAY] for i in range(50)]
        rows = [
            row(expression([BOX]), saying(boxes), image=name, number=i)
            for i, (boxes, name) in enumerate(zip(said, images, strict=True))
        ]
        found = of_boxes(series(rows))
        assert found is not None
        metric = found.metrics["accuracy@0.5"]
        assert metric.low is not None
        assert metric.high is not None
        return metric.high - metric.low

    alone = width([f"i{i}" for i in range(50)])
    together = width([f"i{i // 5}" for i in range(50)])  # ten images whose five answers agree
    assert together / alone == pytest.approx(5**0.5, rel=0.15)


def test_where_all_agree_the_interval_has_a_width() -> None:
    rows = [row(expression([BOX]), saying([BOX]), image=f"i{i // 2}", number=i) for i in range(20)]
    found = of_boxes(series(rows))
    assert found is not None
    metric = found.metrics["accuracy@0.9"]
    assert (metric.value, metric.high, metric.n, metric.method) == (1, 1, 20, "wilson, over images")
    assert metric.low == pytest.approx(0.7225, abs=1e-4)  # of ten images, not of twenty expressions
    alone = of_boxes(series(rows[:2]))
    assert alone is not None
    assert alone.metrics["mean_iou"].low == pytest.approx(0.2065, abs=1e-4)


def test_an_image_that_comes_twice_has_samples_of_its_own() -> None:
    rows = [row(expression([BOX]), saying([BOX]), image="a", number=0) for _ in range(3)]
    found = series(rows)
    assert found.sample_ids == ["a#0", "a#1", "a#2"]
    assert found.images_N.tolist() == [0, 0, 0]
    assert np.array_equal(found.true_N, [1, 1, 1])
