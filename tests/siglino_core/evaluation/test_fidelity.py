"""How near a student comes to its teacher: by hand, by properties, and what has no answer."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.evaluation.fidelity import fidelity

TEACHER = np.array([[3, 1], [1, 1], [2, 3], [2, -1]], np.float32)  # of mean (2, 1)


def test_by_hand() -> None:
    student = np.array([[4, 1], [2, 1], [4, 1], [2, 0]], np.float32)
    found = fidelity(student, TEACHER)
    assert found.cosine_N.tolist() == [1, 0, 0, 1]  # the second says the mean, the third goes across
    assert found.explained == pytest.approx(1 - (1 + 1 + 8 + 1) / (1 + 1 + 4 + 4))


def test_the_teacher_itself_and_its_mean_and_its_opposite() -> None:
    same = fidelity(TEACHER, TEACHER)
    assert same.cosine_N == pytest.approx(1)
    assert same.explained == 1
    mean = fidelity(np.broadcast_to(TEACHER.mean(0), TEACHER.shape), TEACHER)
    assert (mean.cosine_N.tolist(), mean.explained) == ([0, 0, 0, 0], 0)
    assert fidelity(2 * TEACHER.mean(0) - TEACHER, TEACHER).cosine_N == pytest.approx(-1)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.integers(1, 9))
def test_the_plain_formula_and_what_it_does_not_depend_on(seed: int, n: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    s, t = rng.standard_normal((2, n, d))
    found = fidelity(s, t)
    s0, t0 = s - t.mean(0), t - t.mean(0)
    assert found.explained == pytest.approx(1 - np.square(s - t).sum() / np.square(t0).sum())
    cosines = (s0 * t0).sum(1) / np.linalg.norm(s0, axis=1) / np.linalg.norm(t0, axis=1)
    assert found.cosine_N == pytest.approx(cosines)
    shift, turn = rng.standard_normal(d), np.linalg.qr(rng.standard_normal((d, d)))[0]
    moved = fidelity(3 * s @ turn + shift, 3 * t @ turn + shift)
    assert moved.cosine_N == pytest.approx(found.cosine_N, abs=1e-6)
    assert moved.explained == pytest.approx(found.explained, rel=1e-6, abs=1e-6)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    s, t = np.random.default_rng(0).standard_normal((2, 50, 6)).astype(np.float32)
    whole = fidelity(s, t)
    monkeypatch.setattr(sys.modules["siglino_core.evaluation.arrays"], "CELLS", 20)
    parts = fidelity(s, t)
    assert parts.cosine_N.tolist() == whole.cosine_N.tolist()
    assert parts.explained == pytest.approx(whole.explained, rel=1e-12)


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(DataError, match=r"student's features of shape \(4, 1\), teacher's of shape \(4, 2\)"):
        fidelity(TEACHER[:, :1], TEACHER)
    with pytest.raises(DataError, match="row 1 of teacher's features is not finite"):
        fidelity(TEACHER, np.where(np.arange(4)[:, None] == 1, np.nan, TEACHER))
    for alike in (np.full((5, 3), 0.1, np.float32), np.zeros((2, 3), np.float32), np.ones((1, 3), np.float32)):
        with pytest.raises(DataError, match="the teacher says the same of all images"):
            fidelity(np.eye(3)[np.arange(len(alike)) % 3], alike)
