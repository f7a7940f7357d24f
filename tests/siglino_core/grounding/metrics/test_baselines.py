"""Baselines: what is known without looking, and texts that all go to another image."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.grounding.metrics.baselines import (
    centre_box,
    in_pixels,
    largest_prior_box,
    relative,
    shuffled_texts,
)
from siglino_core.grounding.metrics.boxes import box_iou, box_iou_matrix


def test_relative_and_back() -> None:
    found = relative([[10, 20, 30, 40], [0, 0, 8, 8]], [100, 8], [50, 16])
    assert found.tolist() == [[0.1, 0.4, 0.3, 0.8], [0, 0, 1, 0.5]]
    assert in_pixels(found[0], 100, 50).tolist() == [10, 20, 30, 40]
    with pytest.raises(DataError, match="a width and a height each"):
        relative([[1, 2, 3, 4]], [10, 10], [10])
    with pytest.raises(DataError, match="above 0"):
        relative([[1, 2, 3, 4]], [0], [10])


def test_overlap_is_the_same_in_shares_as_in_pixels() -> None:
    one, other = np.array([[10, 20, 60, 40]]), np.array([[20, 10, 70, 45]])
    assert box_iou(one, other)[0] == pytest.approx(box_iou(*(relative(b, [200], [50]) for b in (one, other)))[0])


def test_the_centre_box_has_the_mean_size() -> None:
    found = centre_box([[0, 0, 0.2, 0.4], [0.4, 0.2, 0.8, 1.0]])
    assert found.tolist() == pytest.approx([0.35, 0.2, 0.65, 0.8])
    with pytest.raises(DataError, match="no training boxes"):
        centre_box(np.empty((0, 4)))


def test_the_prior_is_where_most_boxes_are() -> None:
    rng = np.random.default_rng(0)
    left = np.array([0.05, 0.1, 0.35, 0.6]) + rng.uniform(-0.02, 0.02, (60, 4))
    right = np.array([0.6, 0.5, 0.95, 0.9]) + rng.uniform(-0.02, 0.02, (40, 4))
    train = np.concatenate([left, right])
    found = largest_prior_box(train)
    hits = box_iou_matrix(found[None], train)[0] >= 0.5
    assert hits[:60].all()
    assert not hits[60:].any()


def test_a_box_between_two_kinds_is_right_for_both() -> None:
    small, large = [0.3, 0.3, 0.7, 0.7], [0.2, 0.2, 0.8, 0.8]  # each other's IoU is 0.44
    tiny = [np.array([0.5, 0.5, 0.5, 0.5]) + half * np.array([-1, -1, 1, 1]) + 0.2 for half in (0.025, 0.0375)]
    for pair in ([small, large], tiny):  # the second are smaller than any box of the grid
        found = largest_prior_box(pair)
        assert (box_iou_matrix(found[None], pair) >= 0.5).all()


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.75]))
def test_nothing_that_was_tried_is_better(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.random((30, 2, 2)), axis=1)
    train = corners.reshape(30, 4)
    found = largest_prior_box(train, threshold)
    tried = np.concatenate([train, centre_box(train)[None]])
    reached = (box_iou_matrix(tried, train) >= threshold).mean(1)
    assert (box_iou_matrix(found[None], train) >= threshold).mean() >= reached.max()
    assert ((found >= 0) & (found <= 1)).all()
    assert np.array_equal(found, largest_prior_box(train, threshold))


@given(st.lists(st.integers(0, 5), min_size=2, max_size=40), st.integers(0, 10**6))
def test_no_text_stays_in_its_image(images: list[int], seed: int) -> None:
    if 2 * max(Counter(images).values()) > len(images):
        with pytest.raises(DataError, match="more than half"):
            shuffled_texts(images, seed=seed)
        return
    found = shuffled_texts(images, seed=seed)
    assert sorted(found.tolist()) == list(range(len(images)))
    assert all(images[i] != images[j] for i, j in enumerate(found.tolist()))


def test_texts_go_everywhere_and_by_the_seed_alone() -> None:
    images = [f"coco/{i // 3}" for i in range(30)]
    found = [shuffled_texts(images, seed=seed) for seed in range(60)]
    assert np.array_equal(found[0], shuffled_texts(images, seed=0))
    goes = {(0, int(f[0])) for f in found}
    assert len(goes) > 15
    with pytest.raises(DataError, match="more than half"):
        shuffled_texts([])
    with pytest.raises(DataError, match="one image has 2 of 3"):
        shuffled_texts(["a", "a", "b"])
