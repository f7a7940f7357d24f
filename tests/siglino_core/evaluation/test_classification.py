"""Shares of right answers by hand and against torchmetrics and scikit-learn; ties; what is missing."""

import numpy as np
import pytest
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation.classification import classified


def _scores(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, size=n)
    return rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels], labels


def test_by_hand() -> None:
    scores = [[3.0, 1, 2], [1, 3, 2], [1, 2, 3], [9, 0, 0]]
    found = classified(scores, [0, 1, 1, 1])
    assert found.predictions_N.tolist() == [0, 1, 2, 0]
    assert found.correct_N.tolist() == [True, True, False, False]
    assert (found.top1, found.top5, found.n) == (0.5, None, 4)
    np.testing.assert_allclose(found.recall_C, [1, 1 / 3, np.nan])
    assert found.mean_recall == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_against_torchmetrics_and_scikit_learn() -> None:
    from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

    scores, labels = _scores(0, 400, 9)
    labels[labels == 8] = 7  # a class without samples
    found = classified(scores, labels)
    assert found.mean_recall == pytest.approx(balanced_accuracy_score(labels, found.predictions_N))
    assert found.top5 == pytest.approx(top_k_accuracy_score(labels, scores, k=5, labels=np.arange(9)))
    functional = pytest.importorskip("torchmetrics.functional.classification")
    given = (torch.from_numpy(scores), torch.from_numpy(labels))
    for k, share in (1, found.top1), (5, found.top5):
        assert share == pytest.approx(float(functional.multiclass_accuracy(*given, 9, "micro", k)))
    each = functional.multiclass_accuracy(*given, 9, "none")
    np.testing.assert_allclose(found.recall_C[:8], each[:8], rtol=1e-6)
    assert np.isnan(found.recall_C[8])


def test_ties() -> None:
    found = classified([[1.0, 1, 0, 0, 0, 0]] * 3, [0, 1, 5])
    assert found.predictions_N.tolist() == [0, 0, 0]
    assert found.top5_N is not None
    assert found.top5_N.tolist() == [True, True, False]  # class 5 ties with all that score 0: sixth
    constant = classified(np.zeros((60, 6)), np.arange(60) % 6)
    assert constant.top1 == constant.top5 == pytest.approx(1 / 6)  # class 0's own, by the rule; no other


@pytest.mark.parametrize(("classes", "there"), [(4, False), (5, True)])
def test_top_5_needs_5_classes(classes: int, there: bool) -> None:
    assert (classified(*_scores(1, 20, classes)).top5 is not None) == there


def test_top_5_of_5_classes_is_all_and_never_below_top_1() -> None:
    assert classified(*_scores(2, 30, 5)).top5 == 1.0
    votes = np.round(_scores(3, 300, 8)[0])  # many ties
    found = classified(votes, np.arange(300) % 8)
    assert found.top5 is not None
    assert found.top5 >= found.top1


def test_samples_that_could_not_be_read_are_wrong() -> None:
    found = classified([[1.0, 0], [0, 1.0]], [0, 1], failed=[1, 1])
    assert (found.n, found.top1) == (4, 0.5)
    np.testing.assert_allclose(found.recall_C, [1, 1 / 3])
    nothing = classified(np.empty((0, 3)), [], failed=[2])
    assert (nothing.top1, nothing.mean_recall) == (0.0, 0.0)


def test_classes_out_of_reach() -> None:
    found = classified([[0.5, -np.inf], [0.5, -np.inf]], [0, 1])
    assert found.correct_N.tolist() == [True, False]


def test_half_precision_counts_as_fp32() -> None:
    scores, labels = _scores(4, 50, 6)
    half = torch.from_numpy(scores).bfloat16()
    np.testing.assert_array_equal(
        classified(half, labels).predictions_N, classified(half.float().numpy(), labels).predictions_N
    )


@pytest.mark.parametrize(
    ("scores", "labels", "failed", "says"),
    [
        ([[np.nan, 1]], [0], [], "row 0 of scores is not finite"),
        ([[np.inf, 1]], [0], [], "row 0 of scores is not finite"),
        ([[0.0, 1]], [2], [], "labels say 2 in row 0"),
        ([[0.0, 1]], [0, 1], [], "for 1 rows"),
        ([[0.0, 1]], [0], [5], "failed labels say 5"),
        (np.empty((0, 2)), [], [], "no samples"),
    ],
)
def test_refused(scores: list, labels: list[int], failed: list[int], says: str) -> None:
    with pytest.raises(DataError, match=says):
        classified(scores, labels, failed=failed)
