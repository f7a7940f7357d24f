"""kNN's votes: by hand, against scikit-learn, ties to the lowest class, nobody votes for itself."""

import numpy as np
import pytest
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation.knn import knn_classify, knn_votes


def _clusters(seed: int, n: int, classes: int = 6, noise: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, 12))
    labels = rng.integers(0, classes, size=n)
    return centres[labels] + noise * rng.normal(size=(n, 12)), labels


def _at(cosines: list[float]) -> np.ndarray:
    """Vectors in the plane at these cosines to (1, 0)."""
    return np.array([[c, (1 - c * c) ** 0.5] for c in cosines])


@pytest.mark.parametrize("k", [1, 5, 20])
def test_against_scikit_learn(k: int) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    (train, labels), (test, _) = _clusters(0, 300), _clusters(1, 120)
    reference = KNeighborsClassifier(k, weights=lambda d: np.exp(-d / 0.07), metric="cosine", algorithm="brute")
    reference.fit(train, labels)
    np.testing.assert_array_equal(knn_classify(train, labels, test, k=k), reference.predict(test))
    found = knn_votes(train, labels, test, ks=(k,))[k]
    shares = found / found.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, reference.predict_proba(test), atol=2e-5)  # cosines are fp32, over 0.07


def test_votes_by_hand() -> None:
    train = _at([0.9, 0.8, 0.7, 0.5])
    found = knn_votes(train, [2, 0, 0, 1], [[1.0, 0.0]], ks=(3, 1, 4), temperature=0.1, num_classes=4)
    e = np.exp
    np.testing.assert_allclose(found[3], [[e(-2) + e(-3), 0, e(-1), 0]], rtol=1e-5)
    np.testing.assert_allclose(found[1], [[0, 0, e(-1), 0]], rtol=1e-5)
    np.testing.assert_allclose(found[4], [[e(-2) + e(-3), e(-5), e(-1), 0]], rtol=1e-5)
    assert found[3].dtype == np.float64


def test_one_search_serves_all_k() -> None:
    (train, labels), (test, _) = _clusters(2, 250), _clusters(3, 40)
    for k, votes in knn_votes(train, labels, test).items():
        np.testing.assert_array_equal(votes.argmax(1), knn_classify(train, labels, test, k=k))


def test_equal_votes_go_to_the_lowest_class() -> None:
    assert knn_classify(_at([0.6, 0.6]), [3, 1], [[1.0, 0.0]]).tolist() == [1]
    mirrored = np.array([[0.6, 0.8], [0.6, -0.8]])
    assert knn_classify(mirrored, [3, 1], [[1.0, 0.0]]).tolist() == [1]


def test_nobody_votes_for_itself() -> None:
    features = np.array([[1.0, 0], [0.9, 0.1], [0, 1.0], [0.1, 0.9]])
    labels = [0, 1, 2, 3]
    assert knn_classify(features, labels, features, k=1).tolist() == [0, 1, 2, 3]
    assert knn_classify(features, labels, features, k=1, skip_self=True).tolist() == [1, 0, 3, 2]
    twins = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])  # by row, not by being equal
    assert knn_classify(twins, [0, 1, 2], twins, k=1, skip_self=True).tolist() == [1, 0, 0]


def test_more_neighbours_than_samples() -> None:
    (train, labels), (test, _) = _clusters(4, 15), _clusters(5, 9)
    found = knn_votes(train, labels, test, ks=(200, 15))
    np.testing.assert_array_equal(found[200], found[15])


def test_a_low_temperature_follows_the_nearest() -> None:
    train = _at([0.2, 0.1])
    assert knn_classify(train, [1, 0], [[1.0, 0.0]], temperature=1e-6).tolist() == [1]


def test_half_precision_counts_as_fp32() -> None:
    (train, labels), (test, _) = _clusters(6, 200), _clusters(7, 50)
    half, other = torch.from_numpy(train).bfloat16(), torch.from_numpy(test).bfloat16()
    found = knn_votes(half, torch.from_numpy(labels), other)[20]
    np.testing.assert_array_equal(found, knn_votes(half.float().numpy(), labels, other.float().numpy())[20])
    coarse = (other @ half.T).float().numpy()
    assert len(np.unique(coarse[0])) < 200  # bf16 products would tie


def test_constant_features_know_nothing() -> None:
    labels = np.array([3, 3, 1, 1, 1, 0, 2])
    found = knn_classify(np.ones((7, 4)), labels, np.ones((5, 4)), k=5)
    assert found.tolist() == [1] * 5  # the first five rows vote: three of class 1
    assert knn_classify(np.ones((7, 4)), labels, np.ones((5, 4)), k=4).tolist() == [1] * 5  # two each: the lower class


def test_permuted_labels_are_at_chance() -> None:
    (train, labels), (test, truth) = _clusters(8, 1200, noise=0.3), _clusters(9, 600, noise=0.3)
    assert (knn_classify(train, labels, test) == truth).mean() > 0.95
    shares = []
    for seed in range(10):
        permuted = np.random.default_rng(seed).permutation(labels)
        shares.append((knn_classify(train, permuted, test) == truth).mean())
    assert np.mean(shares) == pytest.approx(1 / 6, abs=0.06)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train_labels": [0]}, "for 3 rows"),
        ({"train_labels": [0, -1, 1]}, "say -1 in row 1"),
        ({"num_classes": 2, "train_labels": [0, 2, 1]}, "say 2 in row 1"),
        ({"ks": (5, 0)}, "ks"),
        ({"ks": ()}, "ks"),
        ({"temperature": 0.0}, "temperature of 0"),
        ({"train_features": np.ones((0, 2)), "train_labels": []}, "no train rows"),
        ({"test_features": np.ones((1, 3))}, "2 and 3 wide"),
        ({"test_features": np.array([[np.nan, 1]])}, "row 0 of test features"),
    ],
)
def test_refused(change: dict, says: str) -> None:
    asked = {"train_features": np.ones((3, 2)), "train_labels": [0, 1, 0], "test_features": np.ones((1, 2))}
    with pytest.raises(DataError, match=says):
        knn_votes(**{**asked, **change})
