"""Mean IoU by hand, as torchmetrics has it, and in the cases that other implementations get wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from siglino_core.errors import DataError
from siglino_core.evaluation.segmentation import mean_iou
from siglino_core.evaluation.segmentation.iou import Counts, confusion, iou

CLASSES = 4


def row(*numbers: int) -> np.ndarray:
    return np.array([numbers], np.uint8)


def random_masks(seed: int, classes: int = CLASSES, size: tuple[int, int] = (7, 9)) -> tuple[np.ndarray, np.ndarray]:
    """A prediction, and a label that is right in about half of the pixels and holds 255."""
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, classes, size).astype(np.uint8)
    label = np.where(rng.random(size) < 0.5, prediction, rng.integers(0, classes, size)).astype(np.uint8)
    label[rng.random(size) < 0.2] = 255
    return prediction, label


def test_by_hand() -> None:
    label, prediction = row(0, 0, 1, 1, 255), row(0, 1, 1, 1, 0)
    assert confusion(prediction, label, 2).tolist() == [[1, 1], [0, 2]]
    counts = Counts.of(prediction, label, 2)
    assert counts.iou_C().tolist() == [1 / 2, 2 / 3]
    assert mean_iou([prediction], [label], 2) == pytest.approx(7 / 12)
    assert counts.pixel_accuracy() == 3 / 4
    assert counts.mean_accuracy() == (1 / 2 + 1) / 2
    assert counts.pixels == 4


def test_sums_of_the_data_set_are_divided_not_images_averaged() -> None:
    labels, predictions = [row(1, 1, 1, 1), row(1, 0, 0, 0)], [row(1, 1, 1, 1), row(0, 0, 0, 0)]
    # class 0: 3 of 4, class 1: 4 of 5; image by image it would be (1 + (3/4 + 0) / 2) / 2
    assert mean_iou(predictions, labels, 2) == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_what_is_predicted_under_255_counts_nowhere() -> None:
    label = row(0, 1, 255, 255)
    assert mean_iou([row(0, 1, 2, 3)], [label], 4) == mean_iou([row(0, 1, 0, 1)], [label], 4) == 1


def test_a_labelled_pixel_that_is_predicted_as_background_is_a_miss() -> None:
    label, prediction = row(1, 1, 1, 1), row(1, 0, 0, 0)
    assert mean_iou([prediction], [label], 2) == pytest.approx((0 + 1 / 4) / 2)


def test_no_class_is_a_miss_and_no_class_of_its_own() -> None:
    label, prediction = row(1, 1, 0, 0), row(1, 255, 0, 0)
    counts = Counts.of(prediction, label, 2)
    assert counts.iou_C().tolist() == [1, 1 / 2]
    with pytest.raises(DataError, match="1 labelled pixels are predicted as no class"):
        confusion(prediction, label, 2)


def test_an_absent_class_is_neither_0_nor_1() -> None:
    prediction, label = row(0, 1), row(0, 1)
    assert mean_iou([prediction], [label], 2) == mean_iou([prediction], [label], 150) == 1
    assert mean_iou([row(0, 0)], [label], 150) == pytest.approx((1 / 2 + 0) / 2)
    assert np.isnan(Counts.of(prediction, label, 3).iou_C()).tolist() == [False, False, True]


def test_a_class_that_is_only_predicted_is_0() -> None:
    assert mean_iou([row(0, 2)], [row(0, 0)], 3) == pytest.approx((1 / 2 + 0) / 2)
    assert Counts.of(row(0, 2), row(0, 0), 3).mean_accuracy() == 1 / 2  # it has no pixel of its own to be right on


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(DataError, match="none of 1 masks has a labelled pixel"):
        mean_iou([row(0, 1)], [row(255, 255)], 2)
    with pytest.raises(DataError, match="no image"):
        mean_iou([], [], 2)


@pytest.mark.parametrize(
    ("prediction", "label", "says"),
    [
        (row(0, 1), row(0, 1, 1), "resize"),
        (row(0, 2), row(0, 1), "prediction has class 2"),
        (row(0, 1), row(0, 2), "label has class 2"),
        (row(0, 1).astype(np.int64) - 1, row(0, 1), "prediction has class -1"),
        (row(0, 1).astype(np.float32), row(0, 1), "whole"),
    ],
)
def test_what_is_no_mask_is_refused(prediction: np.ndarray, label: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Counts.of(prediction, label, 2)
    with pytest.raises(DataError, match=says):
        confusion(prediction, label, 2)


def test_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        mean_iou([row(0)], [row(0), row(1)], 2)


def test_large_sums_do_not_overflow() -> None:
    big = np.zeros((1024, 1024), np.uint8)
    one = Counts.of(big, big, 1)
    total = Counts.joined([one] * 5000)
    assert total.intersections_NC.dtype == np.int64
    assert total.pixels == 5000 * 2**20 > 2**32


def test_more_classes_than_8_bits_hold() -> None:
    label = np.array([[300, 255, 254]], np.uint16)
    assert Counts.of(label, label, 301).labels_NC.sum() == 2


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=4), st.integers(2, 6))
def test_agrees_with_torchmetrics(seeds: list[int], classes: int) -> None:
    torch, metrics = pytest.importorskip("torch"), pytest.importorskip("torchmetrics.classification")
    pairs = [random_masks(seed, classes) for seed in seeds]
    theirs = metrics.MulticlassJaccardIndex(num_classes=classes, ignore_index=255, average="macro")
    right = metrics.MulticlassAccuracy(num_classes=classes, ignore_index=255, average="micro")
    for prediction, label in pairs:
        for metric in (theirs, right):
            metric.update(torch.from_numpy(prediction).long(), torch.from_numpy(label).long())
    counts = Counts.joined(Counts.of(p, y, classes) for p, y in pairs)
    assert counts.mean_iou() == pytest.approx(float(theirs.compute()), abs=1e-6)
    assert counts.pixel_accuracy() == pytest.approx(float(right.compute()), abs=1e-6)
    ours = sum(confusion(p, y, classes) for p, y in pairs)
    assert np.array_equal(ours, theirs.confmat.numpy())


masks = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, CLASSES - 1))


@given(masks)
def test_counts_and_confusion_say_the_same(label: np.ndarray) -> None:
    prediction, _ = random_masks(int(label.sum()), size=label.shape)
    table, counts = confusion(prediction, label, CLASSES), Counts.of(prediction, label, CLASSES)
    assert np.array_equal(counts.intersections_NC[0], table.diagonal())
    assert np.array_equal(counts.labels_NC[0], table.sum(1))
    assert np.array_equal(counts.predictions_NC[0], table.sum(0))
    assert 0 <= counts.mean_iou() <= 1


@given(masks)
def test_a_mask_is_itself(label: np.ndarray) -> None:
    counts = Counts.of(label, label, CLASSES)
    assert counts.mean_iou() == counts.pixel_accuracy() == counts.mean_accuracy() == 1


def test_rows_are_images_and_sums_do_not_depend_on_their_order() -> None:
    parts = [Counts.of(*random_masks(seed), CLASSES) for seed in range(5)]
    whole = Counts.joined(parts)
    assert len(whole) == 5
    assert np.array_equal(whole.unions_NC[3], parts[3].unions_NC[0])
    assert Counts.joined(parts[::-1]).mean_iou() == whole.mean_iou()
    assert parts[0].plus(parts[1]).mean_iou() == Counts.joined(parts[:2]).mean_iou()
    drawn = np.array([[0, 0, 1, 2, 4], [3, 3, 3, 3, 3]])  # two resamples at once
    many = iou(whole.intersections_NC[drawn].sum(1), whole.unions_NC[drawn].sum(1))
    assert np.allclose(np.nanmean(many[1]), parts[3].mean_iou())
