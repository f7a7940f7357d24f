"""The probe of samples, against scikit-learn's classifier; what it does not know counts as wrong."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from siglino_core.evaluation.samples import probe as probes
from siglino_core.evaluation.samples.probe import answers, probe

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(6, 10))


def drawn(counts: list[int], spread: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    label = np.repeat(np.arange(len(counts)), counts)
    return (CENTRES[label] + spread * RNG.normal(size=(len(label), 10))).astype(np.float32), label


@pytest.mark.parametrize("counts", [[1, 2, 1, 2, 1, 1], [40, 20, 10, 5, 3, 9]])
def test_answers_as_scikit_learns_ridge_classifier(counts: list[int]) -> None:
    (x, label), (test, _) = drawn(counts), drawn([20] * 6)
    centred = x - x.mean(0, dtype=np.float64)
    alpha = probes.STRENGTH * float(np.square(centred).sum()) / 10
    expected = RidgeClassifier(alpha=alpha).fit(x.astype(np.float64), label).predict(test)
    assert np.array_equal(answers(x, label, test), expected)


def test_in_blocks_the_answers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    (x, label), (test, _) = drawn([9] * 6), drawn([20] * 6)
    whole = answers(x, label, test)
    monkeypatch.setattr("siglino_core.evaluation.arrays.CELLS", 64)
    assert np.array_equal(answers(x, label, test), whole)


def test_a_mean_over_labels_and_over_the_rarer_half_of_those_tested() -> None:
    x, label = drawn([30, 30, 30, 30, 0, 0], spread=0.1)
    test, test_label = drawn([50, 10, 4, 0, 2, 0], spread=0.1)  # label 3 is not tested, label 4 not known
    found = probe(x, label, test, test_label, pool_C=np.array([200, 100, 40, 1, 8, 3]))
    assert found.macro == pytest.approx(3 / 4)  # of 0, 1, 2 all right, of 4 none
    assert found.rare == pytest.approx(1 / 2)  # 2 and 4


def test_a_sample_without_labels_knows_nothing_and_one_label_is_always_the_answer() -> None:
    test, test_label = drawn([4, 4, 0, 0, 0, 0])
    none = np.empty((0, 10), np.float32), np.empty(0, int)
    assert probe(*none, test, test_label, np.array([9, 9])).macro == 0
    x, label = drawn([0, 5, 0, 0, 0, 0])
    assert probe(x, label, test, test_label, np.array([9, 9])).macro == 0.5
