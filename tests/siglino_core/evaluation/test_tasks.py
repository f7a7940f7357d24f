"""Which tasks are answered: those asked for, else those that are possible and cheap."""

import numpy as np
import pytest

from siglino_core.config import Task
from siglino_core.errors import DataError
from siglino_core.evaluation.results.store import write_results
from siglino_core.evaluation.tasks import answers
from tests.siglino_core.evaluation.tasks.made import axis, check_samples, features, question

LABELS = [*"abc"] * 3
CAPTIONS = [(f"{i} {label}",) for i, label in enumerate(LABELS)]


def done(asked: object) -> list[str]:
    return list(dict.fromkeys(a.result.task for a in answers(asked)))  # type: ignore[arg-type]


def test_of_whole_images_all_that_is_cheap() -> None:
    texts = {"siglip2": axis(8), "dinov3": axis(10)}
    train = features(LABELS, captions=CAPTIONS, noise=0.2, seed=1, split="train")
    test = features(LABELS, captions=CAPTIONS, noise=0.2)
    asked = question(test, train, texts=texts, teachers={"siglip2": test, "dinov3": test})
    found = list(answers(asked))
    assert list(dict.fromkeys(a.result.task for a in found)) == [
        "knn",
        "zero_shot",
        "retrieval",
        "fidelity",
        "geometry",
    ]
    assert asked.passed == []
    assert check_samples(found) == 7 + 5 + 2 * 5 + 2
    for task in ("knn", "zero_shot", "retrieval", "fidelity", "geometry"):
        assert write_results([a.result for a in found if a.result.task == task])


def test_what_is_impossible_is_passed_over_and_said() -> None:
    asked = question(features([None, None]))
    assert done(asked) == ["geometry"]
    assert asked.passed == [
        "knn on made by student: no sample has a label",
        "zero shot on made by student: no sample has a label",
        "retrieval on made by student: no sample has a caption",
        "fidelity on made by student: no network named siglip2 or dinov3, as its head is, is evaluated beside it "
        "(evaluate.models)",
    ]


@pytest.mark.parametrize("task", [t for t in Task if t is not Task.GEOMETRY])
def test_what_is_asked_for_by_name_and_impossible_is_refused(task: Task) -> None:
    with pytest.raises(DataError, match=f"{task.value.replace('_', ' ')} on made by student: "):
        done(question(features([None, None]), tasks=(task,)))


def test_tasks_are_answered_in_the_order_in_which_they_are_asked_for() -> None:
    pytest.importorskip("sklearn")
    train = features(LABELS, noise=0.2, split="train")
    asked = question(features(LABELS), train, tasks=(Task.GEOMETRY, Task.RIDGE, Task.KNN))
    assert done(asked) == ["geometry", "ridge", "knn"]


def test_of_masks_both_protocols_and_no_task_of_whole_images() -> None:
    patches = np.eye(2, dtype=np.float16)[[[0, 1], [1, 0]]]
    mask = np.array([[0, 1], [1, 0]], np.uint8)
    stored = {split: {"v": [(f"{split}{i}", patches, mask) for i in range(4)]} for split in ("test", "train")}
    known = features([*"abab"], {"v": np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]}, network="t")
    asked = question(known, features([], {}, split="train"), patches=stored, classes=("x", "y"))
    assert done(asked) == ["segmentation", "patch_retrieval", "geometry"]
