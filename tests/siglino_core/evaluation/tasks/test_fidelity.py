"""Fidelity: each head beside its teacher, sample by sample, and who has no teacher."""

import numpy as np
import pytest

from siglino_core.config import Task
from siglino_core.errors import DataError
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.results.result import CONSTANT
from siglino_core.evaluation.tasks.fidelity import COSINE, EXPLAINED, of_teachers
from tests.siglino_core.evaluation.tasks.made import by_view, check_samples, features, question

LABELS = [*"abcdefgh"]


def teacher(view: str, noise: float = 0.0, seed: int = 5) -> Features:
    whole = features(LABELS, noise=noise, seed=seed)
    return features(LABELS, {view: whole.summaries[view]}, network=view)


def test_each_head_beside_the_teacher_of_its_name() -> None:
    same = features(LABELS, noise=0.3)
    asked = question(same, teachers={"siglip2": same, "dinov3": teacher("dinov3")})
    answers = list(of_teachers(asked))
    found = by_view(answers)
    assert list(found) == [("siglip2", ""), ("siglip2", CONSTANT), ("dinov3", ""), ("dinov3", CONSTANT)]
    kept = found["siglip2", ""]
    assert kept.headline[0] == COSINE
    assert (kept.metrics[COSINE].value, kept.metrics[EXPLAINED].value) == (pytest.approx(1), pytest.approx(1))
    assert 0 < found["dinov3", ""].metrics[COSINE].value < 1
    low, high = found["dinov3", ""].metrics[COSINE].low, found["dinov3", ""].metrics[COSINE].high
    assert low is not None
    assert high is not None
    assert low < found["dinov3", ""].metrics[COSINE].value < high
    assert found["siglip2", CONSTANT].metrics[EXPLAINED].value == pytest.approx(0, abs=1e-6)
    assert (kept.n, kept.n_failed, kept.parameters["teacher"]) == (8, 0, "student")
    assert kept.parameters["teacher_network"] == "n"
    assert kept.parameters["teacher_preprocessing"] == same.preprocessing
    assert check_samples(answers) == 2
    assert asked.passed == []


def test_samples_that_either_could_not_read_count_as_nothing_alike() -> None:
    whole = features(LABELS, noise=0.3)
    rest = {v: x[2:] for v, x in whole.summaries.items()}
    less = features(LABELS[2:], rest, sample_ids=whole.sample_ids[2:], failed={"test0": ("a", ()), "test1": ("b", ())})
    order = np.random.default_rng(0).permutation(8)
    mixed = features(
        [LABELS[i] for i in order],
        {view: whole.summaries[view][order] for view in ("siglino", "siglip2")},
        sample_ids=[whole.sample_ids[i] for i in order],
        network="siglip2",
    )
    for test, other in ((less, mixed), (mixed, less)):
        answers = list(of_teachers(question(test, teachers={"siglip2": other})))
        assert check_samples(answers) == 1
        result = by_view(answers)["siglip2", ""]
        assert result.metrics[COSINE].value == pytest.approx(6 / 8)
        assert result.metrics[EXPLAINED].value == pytest.approx(1)
        assert (result.n, result.n_failed, result.metrics[COSINE].n, result.metrics[EXPLAINED].n) == (8, 2, 8, 6)


def test_a_head_without_a_teacher_is_told_and_refused_where_none_has_one() -> None:
    alone = "fidelity on made by student: no network named siglip2 or dinov3, as its head is, is evaluated beside it"
    student = question(features(LABELS))
    assert list(of_teachers(student)) == []
    assert student.passed == [f"{alone} (evaluate.models)"]
    with pytest.raises(DataError, match=alone):
        list(of_teachers(question(features(LABELS), tasks=(Task.FIDELITY,))))
    some = question(features(LABELS), tasks=(Task.FIDELITY,), teachers={"dinov3": teacher("dinov3")})
    assert {answer.result.view for answer in of_teachers(some)} == {"dinov3"}
    assert some.passed == [f"{alone} (evaluate.models)".replace("siglip2 or dinov3", "siglip2")]


def test_who_is_no_student_has_no_teachers() -> None:
    large = features(LABELS, {"dinov3": np.eye(8, 20, dtype=np.float32)}, network="dinov3_large")
    asked = question(large, teachers={"dinov3": teacher("dinov3")})
    assert list(of_teachers(asked)) == []
    assert asked.passed == []
    named = question(large, tasks=(Task.FIDELITY,))
    assert list(of_teachers(named)) == []
    assert named.passed == ["fidelity on made by dinov3_large: it is no student, so that it has no teachers"]


def test_another_space_and_too_few_images_are_passed_over_and_said() -> None:
    other = features(LABELS, {"siglip2": np.eye(8, 3, dtype=np.float32)}, network="siglip2")
    both = {"siglip2": other, "dinov3": teacher("dinov3")}
    asked = question(features(LABELS), teachers=both)
    assert {answer.result.view for answer in of_teachers(asked)} == {"dinov3"}
    assert asked.passed == [
        "fidelity on made by student: siglip2: student's features of shape (8, 8), teacher's of shape (8, 3)"
    ]
    lone = question(features(LABELS), teachers={"siglip2": features([*"a"], sample_ids=["test3"], network="siglip2")})
    assert list(of_teachers(lone)) == []
    assert lone.passed[1:] == ["fidelity on made by student: fewer than two images were read by it and by siglip2"]
