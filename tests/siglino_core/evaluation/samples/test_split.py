"""A quarter of every label is held out, whatever stands around an image; what is thinned keeps its labels."""

import itertools

import numpy as np
import pytest

from siglino_core.evaluation.samples.split import (
    label_counts,
    quarter,
    rank_in_label,
    teaches,
    thinned,
    thinned_by_label,
)

RNG = np.random.default_rng(0)
LABELS = RNG.permutation(np.repeat([-1, 0, 1, 2, 3, 4], [9, 1, 3, 4, 7, 40]))
IDS = RNG.integers(0, 1 << 63, len(LABELS)).astype(np.uint64)


def test_a_quarter_of_every_label_rounded_down() -> None:
    held = quarter(LABELS, IDS, seed=3)
    assert np.bincount(LABELS[held], minlength=5).tolist() == [0, 0, 1, 1, 10]
    assert not held[LABELS < 0].any()


def test_another_seed_or_split_holds_out_others() -> None:
    drawn = [quarter(LABELS, IDS, seed, split) for seed, split in ((0, 0), (1, 0), (0, 1))]
    assert all((a != b).any() for a, b in itertools.pairwise(drawn))


def test_the_order_of_the_images_decides_nothing() -> None:
    order = RNG.permutation(len(LABELS))
    assert np.array_equal(quarter(LABELS[order], IDS[order], 0), quarter(LABELS, IDS, 0)[order])


def test_over_many_splits_every_image_is_held_out_as_often() -> None:
    share = np.mean([quarter(LABELS, IDS, 0, split) for split in range(400)], axis=0)
    assert share[LABELS == 4] == pytest.approx(0.25, abs=0.1)
    assert share[LABELS == 3] == pytest.approx(1 / 7, abs=0.08)


def test_counts_and_ranks() -> None:
    assert label_counts(np.array([2, -1, 2, 0])).tolist() == [1, 0, 2, 0]
    assert label_counts(np.array([], int)).tolist() == [0]
    assert rank_in_label(np.array([1, 0, 1, 1]), np.array([0.5, 0.1, 0.2, 0.9])).tolist() == [1, 0, 0, 2]


def test_an_image_alone_in_its_label_trains_nobody() -> None:
    assert teaches(np.array([0, 1, 1, -1])).tolist() == [False, True, True, False]


def test_what_is_thinned_is_drawn_by_id() -> None:
    rows = np.arange(5, 45)
    some = thinned(rows, IDS[rows], 10, 0, "x")
    assert len(some) == 10
    assert np.array_equal(np.sort(some), some)
    assert set(some) < set(rows)
    assert np.array_equal(thinned(rows[::-1], IDS[rows[::-1]], 10, 0, "x")[::-1], some)
    assert np.array_equal(thinned(rows, IDS[rows], 40, 0, "x"), rows)


def test_thinned_test_rows_keep_every_label() -> None:
    rows = np.flatnonzero(LABELS >= 0)
    some = thinned_by_label(rows, LABELS[rows], IDS[rows], 12, 0)
    counts = np.bincount(LABELS[some], minlength=5)  # of 1, 3, 4, 7 and 40: two rounds, and three of the next four
    assert (counts[0], counts.sum()) == (1, 12)
    assert sorted(counts[1:]) == [2, 3, 3, 3]
