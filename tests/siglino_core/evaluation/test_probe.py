"""Probes agree with scikit-learn at the strength they chose, and choose it without the test split."""

import numpy as np
import pytest
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation.hold_out import held_out
from siglino_core.evaluation.probe import Probe, logistic_probe, ridge_probe

PROBES = [logistic_probe, ridge_probe]


def _split(seed: int, n: int, classes: int = 4, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, 6))
    labels = rng.integers(0, classes, size=n)
    return (centres[labels] + noise * rng.normal(size=(n, 6))) * [1, 10, 100, 1, 1, 0.01] + 5, labels


def test_logistic_against_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (train, labels), (test, _) = _split(0, 240), _split(1, 60)
    found = logistic_probe(train, labels, test, strengths=(1e-3, 1e-1, 10.0))
    held = held_out(labels)
    for strength, accuracy in found.by_strength.items():
        reference = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
        reference.fit(train[~held], labels[~held])
        assert accuracy == pytest.approx(reference.score(train[held], labels[held]))
    reference = make_pipeline(StandardScaler(), LogisticRegression(C=found.strength, max_iter=1000)).fit(train, labels)
    np.testing.assert_allclose(np.exp(found.scores_NC), reference.predict_proba(test), atol=2e-3)
    np.testing.assert_array_equal(found.scores_NC.argmax(1), reference.predict(test))
    assert found.converged


def test_ridge_against_scikit_learn() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (train, labels), (test, _) = _split(2, 200), _split(3, 50)
    found = ridge_probe(train, labels, test, strengths=(1e-3, 1.0, 100.0))
    reference = make_pipeline(StandardScaler(), Ridge(alpha=found.strength * 200)).fit(train, np.eye(4)[labels])
    np.testing.assert_allclose(found.scores_NC, reference.predict(test), rtol=1e-8, atol=1e-10)
    assert set(found.by_strength) == {1e-3, 1.0, 100.0}


def test_ridge_of_more_features_than_samples() -> None:
    rng = np.random.default_rng(4)
    train, labels = rng.normal(size=(12, 40)), np.arange(12) % 3
    assert (ridge_probe(train, labels, train, strengths=(1e-6,)).scores_NC.argmax(1) == labels).all()


@pytest.mark.parametrize("probe", PROBES)
def test_the_test_split_chooses_nothing(probe) -> None:
    (train, labels), (test, _) = _split(5, 150), _split(6, 30)
    whole, part = probe(train, labels, test), probe(train, labels, test[:3] * 2)
    assert (whole.strength, whole.by_strength) == (part.strength, part.by_strength)
    np.testing.assert_allclose(probe(train, labels, test[:3]).scores_NC, whole.scores_NC[:3], rtol=1e-9)


@pytest.mark.parametrize("probe", PROBES)
def test_the_best_on_held_out_samples_is_taken(probe) -> None:
    train, labels = _split(7, 400, noise=2.0)
    found: Probe = probe(train, labels, train)
    assert found.by_strength[found.strength] == max(found.by_strength.values())
    assert min(found.by_strength.values()) < max(found.by_strength.values())
    assert found.held_out == held_out(labels).sum()


@pytest.mark.parametrize("probe", PROBES)
def test_scale_and_constant_features_do_not_matter(probe) -> None:
    (train, labels), (test, _) = _split(8, 120), _split(9, 20)
    wide = [np.concatenate([x * 1e3, np.full((len(x), 2), 0.1)], 1) for x in (train, test)]
    np.testing.assert_allclose(
        probe(wide[0], labels, wide[1]).scores_NC, probe(train, labels, test).scores_NC, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("probe", PROBES)
def test_a_class_without_train_samples_cannot_win(probe) -> None:
    (train, labels), (test, _) = _split(10, 90), _split(11, 20)
    found = probe(train, labels * 2, test, num_classes=9)
    assert found.scores_NC.shape == (20, 9)
    assert np.isneginf(found.scores_NC[:, [1, 3, 5, 7, 8]]).all()
    np.testing.assert_allclose(found.scores_NC[:, ::2][:, :4], probe(train, labels, test).scores_NC, rtol=1e-9)


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("classes", [2, 3])
def test_one_sample_a_class(probe, classes: int) -> None:
    found = probe(np.eye(classes) * 5, np.arange(classes), np.eye(classes))
    assert (found.scores_NC.argmax(1) == np.arange(classes)).all()
    assert (found.strength, found.by_strength, found.held_out) == (1.0, {}, 0)


def test_logistic_scores_are_log_probabilities() -> None:
    for classes in 2, 3:
        (train, labels), (test, _) = _split(12, 60, classes), _split(13, 10, classes)
        np.testing.assert_allclose(np.exp(logistic_probe(train, labels, test).scores_NC).sum(1), 1)


@pytest.mark.parametrize("probe", PROBES)
def test_half_precision_and_no_test_samples(probe) -> None:
    train, labels = _split(14, 60)
    half = torch.from_numpy(train).bfloat16()
    found = probe(half, torch.from_numpy(labels), half)
    np.testing.assert_array_equal(found.scores_NC, probe(half.float().numpy(), labels, half.float().numpy()).scores_NC)
    assert probe(train, labels, train[:0]).scores_NC.shape == (0, 4)


@pytest.mark.parametrize("probe", PROBES)
def test_refused(probe) -> None:
    features = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(DataError, match="the train split has 1 classes"):
        probe(features, np.zeros(6, int), features)
    with pytest.raises(DataError, match="the train split has 0 classes"):
        probe(features[:0], np.zeros(0, int), features)
    with pytest.raises(DataError, match="3 and 2 wide"):
        probe(features, np.arange(6) % 2, features[:, :2])
    with pytest.raises(DataError, match="say 2 in row 2"):
        probe(features, np.arange(6) % 3, features, num_classes=2)
    with pytest.raises(DataError, match="row 0 of test features is not finite"):
        probe(features, np.arange(6) % 3, features * np.nan)
