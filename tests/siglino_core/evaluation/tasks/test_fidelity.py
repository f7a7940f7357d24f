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
    assert list(found) == [("siglip2", ""), ("siglip2", CONSTANT), ("dinov3", "")]
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
    assert check_samples(answers) == 2
    assert asked.passed == []


def test_samples_that_either_could_not_read_count_as_nothing_alike() -> None:
    whole = features(LABELS, noise=0.3)
    rest = {v: x[2:] for v, x in whole.summaries.items()}
    less = features(LABELS[2:], rest, sample_ids=whole.sample_ids[2:], failed={"test0": ("a", ()), "test1": ("b", ())})
    order = np.random.default_rng(0).permutation(8)
    mixed = features(
        [LABELS[i] for i in order],
        {"siglip2": whole.summaries["siglip2"][order]},
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


def test_who_has_no_teacher_is_only_told_when_asked_by_name() -> None:
    student = question(features(LABELS))
    assert list(of_teachers(student)) == []
    assert student.passed == []
    with pytest.raises(
        DataError, match="fidelity on made by student: no network with the name of one of its heads is eval"
    ):
        list(of_teachers(question(features(LABELS), tasks=(Task.FIDELITY,))))
    alone = question(teacher("siglip2"), tasks=(Task.FIDELITY,))
    assert list(of_teachers(alone)) == []


def test_another_space_and_too_few_images_are_passed_over_and_said() -> None:
    other = features(LABELS, {"siglip2": np.eye(8, 3, dtype=np.float32)}, network="siglip2")
    asked = question(features(LABELS), teachers={"siglip2": other})
    assert list(of_teachers(asked)) == []
    assert asked.passed == [
        "fidelity on made by student: siglip2: student's features of shape (8, 8), teacher's of shape (8, 3)"
    ]
    lone = question(features(LABELS), teachers={"siglip2": features([*"a"], sample_ids=["test3"], network="siglip2")})
    assert list(of_teachers(lone)) == []
    assert lone.passed == ["fidelity on made by student: fewer than two images were read by it and by siglip2"]
