"""Labels to numbers: names, numbers, and what is said of those that do not match."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.evaluation.data.label_ids import class_order, label_ids, natural


def test_names() -> None:
    ids = label_ids(["b", "a", "b"], ["a", "b", "c"])
    assert ids.tolist() == [1, 0, 1]
    assert ids.dtype == np.int64
    assert label_ids([], ["a"]).shape == (0,)


def test_numbers_stand_for_classes_unless_classes_are_numbers() -> None:
    assert label_ids(["2", "0"], ["a", "b", "c"]).tolist() == [2, 0]
    assert label_ids(["2", "10"], ["2", "10"]).tolist() == [0, 1]


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, unique=True), st.data())
def test_every_name_gets_its_own_number(classes: list[str], data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from(classes)))
    assert [classes[i] for i in label_ids(labels, classes)] == labels


@pytest.mark.parametrize(
    ("labels", "classes", "says"),
    [
        (["a", None], ["a"], r"1 of 2 samples have no label\. Name the column"),
        (["a"], ["a", "b", "a"], "'a': two classes of one name"),
        (
            ["golden retriver", "cat"],
            ["golden retriever", "cat"],
            "1 of 2 labels are no class, such as 'golden retriver'.*Did you mean 'golden retriever'",
        ),
        (["3"], ["a", "b", "c"], r"the number 3, and there are 3 classes.*Give names"),
        (["1", "2", "3"], ["a", "b", "c"], "count from 1"),
        (["1", "a"], ["a", "b"], "such as '1'; the 2 classes are such as 'a', 'b'"),
        (["x"], [], "1 of 1 labels are no class"),
    ],
)
def test_what_does_not_match(labels: list[str | None], classes: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        label_ids(labels, classes)


def test_order() -> None:
    assert class_order(["b", None, "10", "9", "a2", "a10", "b"]) == ("9", "10", "a2", "a10", "b")
    assert natural("9" * 5000) > natural("1")
