"""All that one seed measures: nothing of the test is in the sample, junk counts as such, a better sample is better."""

import numpy as np
import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.samples import exam as exams
from siglino_core.evaluation.samples.exam import METRICS, Exam, Sample
from siglino_core.evaluation.samples.judgement import Method
from siglino_core.evaluation.samples.split import quarter
from tests.siglino_core.evaluation.samples.mixture import balanced, mixture

X, LABEL = mixture()
IDS = np.random.default_rng(1).integers(0, 1 << 63, len(X)).astype(np.uint64)
PIXELS = (X @ np.random.default_rng(2).normal(size=(24, 40))).astype(np.float32)


def sample(rows: np.ndarray, pixels: bool = True) -> Sample:
    return Sample(rows_M=rows, ids_M=IDS[rows], unit_MD=X[rows], pixels_MF=PIXELS[rows] if pixels else None)


def test_every_metric_is_measured() -> None:
    exam = Exam.of(X, LABEL, IDS, PIXELS, 0)
    assert np.array_equal(exam.held_N, quarter(LABEL, IDS, 0))
    found = exam.figures(sample(np.flatnonzero(~exam.held_N)[:200]), 0.95)
    assert [*found, "cpu_seconds"] == list(METRICS)
    assert "student" not in Exam.of(X, LABEL, IDS, None, 0).figures(sample(np.arange(50), False), 0.95)


def test_junk_is_counted_and_has_no_label() -> None:
    exam = Exam.of(X, LABEL, IDS, PIXELS, 0)
    rows = np.flatnonzero(~exam.held_N)[:100]
    clean = exam.figures(sample(rows), 0.95)
    junk = np.eye(24, dtype=np.float32)[:5]
    dirty = Sample(
        rows_M=np.r_[rows, [-1] * 5],
        ids_M=np.r_[IDS[rows], np.arange(5, dtype=np.uint64)],
        unit_MD=np.concatenate([X[rows], junk]),
        pixels_MF=np.concatenate([PIXELS[rows], np.zeros((5, 40), np.float32)]),
    )
    found = exam.figures(dirty, 0.95)
    assert (clean["junk"], found["junk"]) == (0, pytest.approx(5 / 105))
    same = ("effective_labels", "rare_half_share", "labels_covered", "probe", "probe_rare")
    assert {k: found[k] for k in same} == {k: clean[k] for k in same}
    assert found["student"] != clean["student"]


def test_a_better_sample_is_told_from_a_random_one() -> None:
    found: dict[str, list[dict[str, float]]] = {"random": [], "better": []}
    for seed in range(5):
        exam = Exam.of(X, LABEL, IDS, PIXELS, seed)
        free = np.flatnonzero(~exam.held_N)
        drawn = np.sort(np.random.default_rng(seed).choice(free, 150, replace=False))
        found["random"].append({"seed": seed, **exam.figures(sample(drawn), 0.95)})
        found["better"].append({"seed": seed, **exam.figures(sample(balanced(LABEL, ~exam.held_N, 150, seed)), 0.95)})
    made = {name: Method(role="baseline", settings={}, seeds=values) for name, values in found.items()}
    less = made["better"].less(made["random"])
    for metric in ("effective_labels", "rare_half_share", "probe", "probe_rare", "student"):
        low = less[metric].low
        assert low is not None
        assert low > 0, metric


def test_what_is_too_much_is_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    probed = exams.probes.probe
    monkeypatch.setattr(exams.probes, "MOST", 60)
    monkeypatch.setattr(exams.probes, "probe", lambda *a: (seen.extend([len(a[0]), len(a[2])]), probed(*a))[1])
    exam = Exam.of(X, LABEL, IDS, None, 0)
    exam.figures(sample(np.flatnonzero(~exam.held_N)[:200], False), 0.95)
    assert seen == [60, 60]
    assert len(np.unique(LABEL[exam.tested])) == 25  # no label is lost


def test_without_two_labels_of_four_images_nothing_is_held_out() -> None:
    label = np.r_[np.zeros(50, int), [1, 1, 1, 2, -1]]
    with pytest.raises(DataError, match="fewer than two labels have four images"):
        Exam.of(X[:55], label, IDS[:55], None, 0)
