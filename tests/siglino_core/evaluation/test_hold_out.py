"""What is held out is some of each class, never all of one, by seed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.evaluation.hold_out import held_out


def test_a_share_of_each_class() -> None:
    labels = np.repeat([0, 1, 2, 5], [100, 40, 5, 1])
    held = held_out(labels)
    assert [int(held[labels == c].sum()) for c in (0, 1, 2, 5)] == [10, 4, 1, 0]
    assert [int(held_out(labels, share=1.0)[labels == c].sum()) for c in (0, 1, 2, 5)] == [99, 39, 4, 0]


def test_few_of_each() -> None:
    assert held_out([0, 0, 1, 1, 1, 2]).sum() == 2
    assert held_out([0, 1, 2]).sum() == 0
    assert held_out([]).shape == (0,)


def test_by_seed_and_at_random() -> None:
    labels = np.zeros(200, int)
    first = held_out(labels, seed=1)
    np.testing.assert_array_equal(first, held_out(labels, seed=1))
    assert (first != held_out(labels, seed=2)).any()
    often = np.mean([held_out(labels, seed=s) for s in range(100)], axis=0)
    assert often.max() < 0.35  # each is held out about one time in ten
    assert often[:20].mean() < 0.2


@given(st.lists(st.integers(0, 4), max_size=60), st.floats(0, 1), st.integers(0, 9))
def test_every_class_keeps_a_sample(labels: list[int], share: float, seed: int) -> None:
    kept = np.array(labels, int)[~held_out(labels, share=share, seed=seed)]
    assert set(kept) == set(labels)
