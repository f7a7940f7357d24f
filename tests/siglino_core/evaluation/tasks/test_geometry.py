"""Geometry: golden ranks and profiles, and what has none."""

import sys

import numpy as np
import pytest

from siglino_core.config import Task
from siglino_core.errors import DataError
from siglino_core.evaluation.results.result import CONSTANT
from siglino_core.evaluation.tasks.geometry import RANK, geometry
from tests.siglino_core.evaluation.tasks.made import by_view, features, question

MASK = np.zeros((2, 2), np.uint8)


def test_the_rank_is_a_share_of_the_highest_and_lengths_do_not_count() -> None:
    lengths = np.array([[1], [2], [3], [4]], np.float32)
    views = {"even": np.eye(4) * lengths, "one": np.ones((4, 8)) * lengths, "two": np.eye(2)[[0, 0, 1, 1]] * lengths}
    asked = question(features([None] * 4, {v: x.astype(np.float32) for v, x in views.items()}))
    answers = list(geometry(asked))
    found = by_view(answers)
    assert list(found) == [("even", ""), ("one", ""), ("two", ""), ("even", CONSTANT)]
    assert found["even", ""].metrics[RANK].value == pytest.approx(1, abs=1e-4)
    assert found["one", ""].metrics[RANK].value == pytest.approx(1 / 4, abs=1e-4)
    assert found["two", ""].parameters == {"rank_me": pytest.approx(2, abs=1e-4), "highest_rank": 2}
    assert found["even", CONSTANT].metrics[RANK].value == pytest.approx(1 / 4, abs=1e-4)
    assert found["even", ""].headline[0] == RANK
    assert found["even", ""].n == 4
    assert all(not a.rows for a in answers)
    assert asked.passed == []


def test_patches_beside_their_summary_where_they_are_stored() -> None:
    summaries = {"v": np.array([[5, 0], [0, 2]], np.float32), "w": np.eye(2, dtype=np.float32)}
    like = np.array([[[1, 0], [0, 1]]], np.float16)  # one patch as the summary, one across
    test = [("test0", like, MASK), ("test1", like, MASK)]
    asked = question(features([None] * 2, summaries), patches={"test": {"v": test}})
    found = by_view(geometry(asked))
    values = {name: m.value for name, m in found["v", ""].metrics.items()}
    assert values == {
        RANK: pytest.approx(1, abs=1e-4),
        "to_summary": 0.5,
        "to_one_another": 0,
        "within_images": pytest.approx(1),
    }
    assert found["v", ""].parameters["patches"] == 4
    assert found["v", ""].parameters["to_summary_quantiles"]["0.5"] == 0.5
    assert set(found["w", ""].metrics) == {RANK}


def test_a_summary_of_another_space_has_no_profile_and_that_is_said() -> None:
    patches = {"test": {"v": [("test0", np.ones((1, 1, 3), np.float16), MASK)]}}
    asked = question(features([None] * 2, {"v": np.eye(2, dtype=np.float32)}), patches=patches)
    assert set(by_view(geometry(asked))["v", ""].metrics) == {RANK}
    assert len(asked.passed) == 1
    assert asked.passed[0].startswith("geometry on made by student: no profile of the patches of v: image 0: patches")


def test_only_so_many_samples_are_ranked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["siglino_core.evaluation.tasks.geometry"]  # the package has a function of its name
    monkeypatch.setattr(module, "MOST", 3)
    result = by_view(geometry(question(features([None] * 9, {"v": np.eye(9, dtype=np.float32)}))))["v", ""]
    assert result.metrics[RANK].n == 3
    assert result.n == 9
    assert result.parameters["highest_rank"] == 3


def test_without_an_image_there_is_none() -> None:
    empty = features("", failed={"x": ("a", ())})
    asked = question(empty)
    assert list(geometry(asked)) == []
    assert asked.passed == ["geometry on made by student: no image could be read"]
    with pytest.raises(DataError, match="no image could be read"):
        list(geometry(question(empty, tasks=(Task.GEOMETRY,))))


def test_a_students_experts_by_layer_and_kind_of_token() -> None:
    counts = np.zeros((2, 3, 4), np.int64)
    counts[0, 2], counts[1, 2] = [5, 5, 0, 0], [3, 3, 3, 3]
    counts[:, 0, 0] = 7
    known = features(
        [None] * 2, {"siglino": np.eye(2, dtype=np.float32), "v": np.eye(2, dtype=np.float32)}, experts=counts
    )
    found = by_view(geometry(question(known)))
    metric = found["siglino", ""].metrics["expert_entropy"]
    assert (metric.value, metric.n) == (pytest.approx(0.75), 2)
    told = found["siglino", ""].parameters
    assert told["expert_entropy_by_layer"] == {
        "cls": [0, 0],
        "register": [None, None],
        "patch": pytest.approx([0.5, 1]),
    }
    assert told["unused_experts_by_layer"] == [2, 0]
    assert "expert_entropy" not in found["v", ""].metrics
    assert "expert_entropy" not in found["siglino", CONSTANT].metrics


def test_what_could_not_be_read_is_told() -> None:
    known = features([None] * 2, {"v": np.eye(2, dtype=np.float32)}, failed={"x": (None, ())})
    for answer in geometry(question(known)):
        assert (answer.result.n, answer.result.n_failed, answer.result.metrics[RANK].n) == (3, 1, 2)
