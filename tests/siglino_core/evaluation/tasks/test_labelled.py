"""Which samples are asked about, which are learned from, and what is left out and said."""

import pytest

from siglino_core.config import Task
from siglino_core.errors import DataError
from siglino_core.evaluation.tasks.labelled import labelled, split_of
from tests.siglino_core.evaluation.tasks.made import features, question


def test_samples_without_labels_are_no_part_and_those_that_could_not_be_read_are() -> None:
    failed = {"x": ("b", ()), "y": (None, ("words",)), "z": ("a", ())}
    found = labelled(features(["a", None, "b", None, "a"], failed=failed), ["a", "b"])
    assert found.rows.tolist() == [0, 2, 4]
    assert found.ids.tolist() == [0, 1, 0]
    assert found.failed == {"x": 1, "z": 0}
    assert found.unlabelled == 3
    assert found.count == 5


def test_classes_are_those_given_then_those_of_both_splits() -> None:
    asked = question(features(["c10", "c9"], {}), features(["z", "c9"], {}, split="train"), classes=("z", "y"))
    split = split_of(asked, Task.KNN)
    assert split is not None
    assert split.classes == ["z", "y", "c9", "c10"]
    assert split.asked.ids.tolist() == [3, 2]
    assert split.learned.ids.tolist() == [0, 2]


def test_a_class_that_only_an_unreadable_sample_has_is_a_class() -> None:
    split = split_of(question(features("aab", failed={"x": ("q", ())})), Task.KNN)
    assert split is not None
    assert split.classes == ["a", "b", "q"]


def test_without_a_train_split_samples_alone_with_their_label_are_left_out_and_counted() -> None:
    split = split_of(question(features(["a", "b", "a", "c", None])), Task.KNN)
    assert split is not None
    assert split.bank is None
    assert split.asked.rows.tolist() == [0, 2]
    assert split.single == 2
    whole = split_of(question(features(["a", "b", "a", "c", None])), Task.ZERO_SHOT, learns=False)
    assert whole is not None
    assert whole.asked.rows.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("test", "train", "why"),
    [
        ([None, None], None, "no sample has a label"),
        ([None, None], ["a", "b"], "no test sample has a label"),
        (["a", "b"], [None], "no train sample has a label"),
        (["a", "b"], None, "no two test samples have one label"),
    ],
)
def test_what_cannot_be_asked_is_passed_over_or_refused(test: list, train: list | None, why: str) -> None:
    known = features(train, split="train") if train else None
    asked = question(features(test), known)
    assert split_of(asked, Task.KNN) is None
    assert len(asked.passed) == 1
    assert why in asked.passed[0]
    with pytest.raises(DataError, match=why):
        split_of(question(features(test), known, tasks=(Task.KNN,)), Task.KNN)
