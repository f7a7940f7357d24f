"""What is reached without looking: by the commonest class, and by a guess."""

import pytest

from siglino_core.config import Task
from siglino_core.evaluation.results.result import CHANCE, MAJORITY
from siglino_core.evaluation.tasks.chance import majority, uniform
from siglino_core.evaluation.tasks.labelled import split_of
from tests.siglino_core.evaluation.tasks.made import features, question


def test_who_learns_knows_the_commonest_class_of_the_train_split() -> None:
    asked = question(features("aabbb"), features("aabc", split="train"))
    split = split_of(asked, Task.KNN)
    assert split is not None
    found = majority(asked, Task.KNN, split)
    values = {name: m.value for name, m in found.result.metrics.items()}
    assert values == {
        "top1": 0.4,
        "mean_recall": 0.5,
        "top1 (uniform)": pytest.approx(1 / 3),
        MAJORITY: 0.6,
    }
    assert (found.result.sanity, found.result.view) == (CHANCE, "siglino")


def test_who_knows_names_alone_guesses_each_as_often() -> None:
    asked = question(features("aaab", failed={"x": ("f", ())}), classes=("a", "b", "c", "d", "e", "f"))
    split = split_of(asked, Task.ZERO_SHOT, learns=False)
    assert split is not None
    found = uniform(asked, Task.ZERO_SHOT, split).result
    assert {name: m.value for name, m in found.metrics.items()} == {
        "top1": pytest.approx(1 / 6),
        "top5": pytest.approx(5 / 6),
        "mean_recall": pytest.approx(1 / 6),
        MAJORITY: 0.6,
    }
    assert (found.n, found.n_failed, found.headline[0]) == (5, 1, "top1")
    few = question(features("ab"))
    split = split_of(few, Task.ZERO_SHOT, learns=False)
    assert split is not None
    assert "top5" not in uniform(few, Task.ZERO_SHOT, split).result.metrics
