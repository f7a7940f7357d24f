"""The calibrated ensemble mixes probabilities, beats views that know different things, and tells directions apart."""

import numpy as np
import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.calibrated import (
    Calibration,
    calibrate,
    calibrate_retrieval,
    mix,
    mix_retrieval,
    vote_logits,
)
from siglino_core.evaluation.calibration import log_softmax, negative_log_likelihood
from siglino_core.evaluation.ensemble import entropy, weight


def _views(seed: int, n: int = 3000, classes: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cosine-like scores of two views, each of which knows some samples well."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, size=n)
    knows = rng.random((n, 1)) < 0.5
    truth = np.eye(classes)[labels]
    a = 0.05 * rng.normal(size=(n, classes)) + truth * np.where(knows, 0.4, 0.05)
    b = 0.02 * rng.normal(size=(n, classes)) + truth * np.where(knows, 0.01, 0.16) + 0.7
    return a, b, labels


def test_mix_by_hand() -> None:
    a, b = np.array([[1.0, 0.0]]), np.array([[0.0, 3.0]])
    p, q = np.exp(log_softmax(a, 0.5)), np.exp(log_softmax(b, 2.0))
    fixed = Calibration(temperature_a=0.5, temperature_b=2.0, alpha=0.25, n=1, nll=0)
    np.testing.assert_allclose(np.exp(mix(a, b, fixed)), 0.25 * p + 0.75 * q)
    w = weight(entropy(np.log(p)), entropy(np.log(q)), 3.0)[0]
    by_entropy = Calibration(temperature_a=0.5, temperature_b=2.0, beta=3.0, n=1, nll=0)
    np.testing.assert_allclose(np.exp(mix(a, b, by_entropy)), w * p + (1 - w) * q)


@pytest.mark.parametrize(("alpha", "only"), [(1.0, 0), (0.0, 1)])
def test_only_one(alpha: float, only: int) -> None:
    a, b, _ = _views(0, 20)
    found = mix(a, b, Calibration(temperature_a=1, temperature_b=1, alpha=alpha, n=1, nll=0))
    np.testing.assert_allclose(found, log_softmax((a, b)[only]))


@pytest.mark.parametrize("alphas", [None, (0.0, 0.25, 0.5, 1.0)])
def test_beats_either_view_on_samples_it_was_not_fitted_to(alphas: tuple[float, ...] | None) -> None:
    found = calibrate(*_views(1), alphas=alphas)
    a, b, labels = _views(2)
    right = lambda scores: (scores.argmax(1) == labels).mean()  # noqa: E731
    mixed = mix(a, b, found)
    assert right(mixed) > max(right(a), right(b)) + 0.05
    assert negative_log_likelihood(mixed, labels).mean() == pytest.approx(found.nll, rel=0.1)
    assert found.n == 3000
    assert found.alpha is None if alphas is None else found.alpha in alphas


def test_a_view_that_knows_nothing_gets_no_weight() -> None:
    a, _, labels = _views(3)
    noise = np.random.default_rng(4).normal(size=a.shape)
    assert calibrate(a, noise, labels, alphas=(0.0, 0.5, 1.0)).alpha == 1.0
    assert calibrate(noise, a, labels, alphas=(0.0, 0.5, 1.0)).alpha == 0.0


def test_the_scale_of_a_view_does_not_matter() -> None:
    a, b, labels = _views(5)
    plain, scaled = calibrate(a, b, labels), calibrate(100 * a, b, labels)
    assert scaled.temperature_a == pytest.approx(100 * plain.temperature_a, rel=1e-2)
    np.testing.assert_allclose(mix(100 * a, b, scaled), mix(a, b, plain), atol=0.05)


def test_votes_are_normalised_first() -> None:
    votes = np.array([[3.0, 1.0, 0.0, 0.0], [0, 0, 0, 0]])
    found = np.exp(vote_logits(votes, smoothing=0.04))
    np.testing.assert_allclose(found, [[0.73, 0.25, 0.01, 0.01], [0.25] * 4])
    np.testing.assert_allclose(vote_logits(votes * 1e-9), vote_logits(votes))
    assert np.isfinite(vote_logits(votes)).all()
    with pytest.raises(DataError, match="votes below 0"):
        vote_logits(-votes)


def _pairs(seed: int, n: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    text_to_image = np.repeat(np.arange(n), 2)
    right = (np.arange(n)[:, None] == text_to_image) * 0.2
    return right + 0.08 * rng.normal(size=(n, 2 * n)), right + 0.08 * rng.normal(size=(n, 2 * n)), text_to_image


def test_retrieval_along_each_directions_own_candidates() -> None:
    a, b, text_to_image = _pairs(0)
    for_texts, for_images = calibrate_retrieval(a, b, text_to_image)
    t2i, i2t = mix_retrieval(a, b, for_texts, for_images)
    assert t2i.shape == i2t.shape == a.shape
    np.testing.assert_allclose(np.exp(t2i).sum(0), 1, rtol=1e-4)  # a text's images
    np.testing.assert_allclose(np.exp(i2t).sum(1), 1, rtol=1e-4)  # an image's texts
    np.testing.assert_allclose(t2i, mix(a.T, b.T, for_texts).T, rtol=1e-6)
    assert (for_texts.n, for_images.n) == (80, 80)


def test_retrieval_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, text_to_image = _pairs(1, 12)
    both = calibrate_retrieval(a, b, text_to_image, alphas=(0.3, 0.7))
    whole = mix_retrieval(a, b, *both)
    monkeypatch.setattr("siglino_core.evaluation.arrays.CELLS", 50)
    np.testing.assert_array_equal(mix_retrieval(a, b, *both), whole)


def test_refused() -> None:
    a, b, labels = _views(6, 10)
    with pytest.raises(DataError, match="both views need"):
        mix(a, b[:, :3], Calibration(temperature_a=1, temperature_b=1, n=1, nll=0))
    with pytest.raises(DataError, match="no samples"):
        calibrate(a[:0], b[:0], labels[:0])
    with pytest.raises(DataError, match="text_to_image say 10"):
        calibrate_retrieval(a, b, np.array([0, 1, 2, 3, 4, 10]))
