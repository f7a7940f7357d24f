"""Temperatures come back that were put in, and ECE agrees with torchmetrics."""

import numpy as np
import pytest
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation.calibration import (
    FLOOR,
    calibration_error,
    cross_calibrated,
    fitted_temperature,
    log_softmax,
    negative_log_likelihood,
)


def _drawn(seed: int, n: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn by their probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(n, classes))
    cumulated = np.exp(log_softmax(logits)).cumsum(1)
    return logits, np.minimum((rng.random((n, 1)) > cumulated).sum(1), classes - 1)


@pytest.mark.parametrize("temperature", [0.01, 1.0, 30.0])
def test_the_temperature_that_was_put_in_comes_back(temperature: float) -> None:
    logits, labels = _drawn(0, 6000)
    assert fitted_temperature(logits * temperature, labels) == pytest.approx(temperature, rel=0.05)


def test_the_fitted_temperature_is_the_best() -> None:
    logits, labels = _drawn(1, 300)
    best = fitted_temperature(logits, labels)
    cost = lambda t: negative_log_likelihood(log_softmax(logits, t), labels).mean()  # noqa: E731
    assert cost(best) <= min(cost(t) for t in np.geomspace(0.1, 10, 200)) + 1e-9


def test_a_temperature_helps_calibration() -> None:
    logits, labels = _drawn(2, 4000)
    far = calibration_error(log_softmax(logits * 0.1), labels)
    near = calibration_error(log_softmax(logits * 0.1, fitted_temperature(logits * 0.1, labels)), labels)
    assert far > 0.2
    assert near < 0.03


def test_error_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [1.0, 0.0]])
    with np.errstate(divide="ignore"):
        log_p = np.log(probabilities)
    # bins of (0.9, 0.9), (0.6) and (1.0); 0.9 and 1.0 are in the 14th and the 15th
    expected = (2 * abs(0.9 - 0.5) + 1 * abs(0.6 - 0) + 1 * 0) / 4
    assert calibration_error(log_p, [0, 1, 1, 0]) == pytest.approx(expected)
    assert calibration_error(log_p, [0, 1, 1, 0], bins=1) == pytest.approx(abs(0.85 - 0.5))


def test_a_confidence_on_an_edge_is_in_the_upper_bin() -> None:
    log_p = log_softmax([[0.0, 0.0], [2.0, 0.0]])
    assert np.exp(log_p[0, 0]) == 0.5
    sure = np.exp(log_p[1, 0])
    assert calibration_error(log_p, [1, 0], bins=2) == pytest.approx(abs(0.5 - (1 - sure)) / 2)


def test_against_torchmetrics() -> None:
    functional = pytest.importorskip("torchmetrics.functional.classification")
    logits, labels = _drawn(3, 700)
    log_p = log_softmax(logits, 0.5)
    expected = functional.multiclass_calibration_error(
        torch.from_numpy(np.exp(log_p)), torch.from_numpy(labels), num_classes=5, n_bins=15
    )
    assert calibration_error(log_p, labels) == pytest.approx(float(expected), abs=1e-6)


def test_likelihood_against_torch() -> None:
    logits, labels = _drawn(4, 50)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits / 0.3), torch.from_numpy(labels), reduction="none"
    )
    np.testing.assert_allclose(negative_log_likelihood(log_softmax(logits, 0.3), labels), expected, rtol=1e-9)


def test_what_cannot_be() -> None:
    log_p = log_softmax([[0.0, -np.inf]])
    np.testing.assert_array_equal(log_p, [[0, -np.inf]])
    assert negative_log_likelihood(log_p, [1]).tolist() == [FLOOR]
    with pytest.raises(DataError, match="row 1 of scores has no class"):
        log_softmax([[0.0, 1.0], [-np.inf, -np.inf]])


def test_bf16_and_large_scores() -> None:
    half = torch.tensor([[1.0, 2.0, 1000.0]], dtype=torch.bfloat16)
    assert log_softmax(half).dtype == np.float64
    np.testing.assert_allclose(log_softmax(half), [[-999, -998, 0]])


def test_no_sample_sets_its_own_temperature() -> None:
    logits, labels = _drawn(5, 800)
    found, temperatures = cross_calibrated(logits * 0.2, labels)
    assert temperatures == pytest.approx((0.2, 0.2), rel=0.3)
    assert calibration_error(found, labels) < 0.05
    changed = labels.copy()
    changed[0] = (labels[0] + 1) % 5
    others, (first, second) = cross_calibrated(logits * 0.2, changed)
    assert (first != temperatures[0]) != (second != temperatures[1])  # one half's own temperature moved
    np.testing.assert_array_equal(others[0], found[0])  # but not what sample 0 is scored by
    assert (others != found).any(1).sum() == 400
    np.testing.assert_array_equal(cross_calibrated(logits * 0.2, labels)[0], found)
    with pytest.raises(DataError, match="1 samples"):
        cross_calibrated(logits[:1], labels[:1])


def test_refused() -> None:
    with pytest.raises(DataError, match="temperature of -1"):
        log_softmax([[0.0, 1.0]], -1)
    with pytest.raises(DataError, match="no samples"):
        fitted_temperature(np.empty((0, 2)), [])
    with pytest.raises(DataError, match="no samples"):
        calibration_error(np.empty((0, 2)), [])
    with pytest.raises(DataError, match="say 2 in row 0"):
        negative_log_likelihood(log_softmax([[0.0, 1.0]]), [2])


def test_temperatures_may_be_fitted_to_a_part_of_each_half() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=4000)
    scores = np.eye(3)[labels] + 0.8 * rng.standard_normal((4000, 3))
    whole, (first, second) = cross_calibrated(scores, labels)
    part, fitted = cross_calibrated(scores, labels, most=500)
    assert part.shape == whole.shape
    assert fitted != (first, second)
    assert fitted == pytest.approx((first, second), rel=0.15)
    assert cross_calibrated(scores, labels, most=10_000)[1] == (first, second)
