"""Linear probes as a task."""

import pytest

from siglino_core.config import Task
from siglino_core.errors import DataError
from siglino_core.evaluation.results.result import CHANCE
from siglino_core.evaluation.tasks.probes import probes
from tests.siglino_core.evaluation.tasks.made import by_view, check_samples, features, question


@pytest.mark.parametrize("task", [Task.LOGISTIC, Task.RIDGE])
def test_each_view_is_probed_and_failures_are_wrong(task: Task) -> None:
    pytest.importorskip("sklearn")
    test = features([*"abcabc", None], noise=0.05, failed={"x": ("c", ())})
    answers = list(probes(question(test, features([*"abc"] * 6, noise=0.05, seed=1, split="train")), task))
    found = by_view(answers)
    assert list(found) == [(v, "") for v in ("siglino", "siglino_mean", "siglip2", "dinov3")] + [("siglino", CHANCE)]
    result = found["siglip2", ""]
    assert (result.task, result.n, result.n_failed) == (task.value, 7, 1)
    assert result.metrics["top1"].value == pytest.approx(6 / 7)
    assert result.parameters["held_out"] > 0
    assert check_samples(answers) == 4


def test_probes_need_a_train_split() -> None:
    asked = question(features([*"aabb"]))
    assert list(probes(asked, Task.RIDGE)) == []
    assert "no train split to learn from" in asked.passed[0]
    with pytest.raises(DataError, match="no train split to learn from"):
        list(probes(question(features([*"aabb"]), tasks=(Task.RIDGE,)), Task.RIDGE))
