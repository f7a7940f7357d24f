"""Scores as probabilities: a temperature, and how far the probabilities are from the truth.

Legend: N samples, C classes.
"""

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, class_ids, matrix
from siglino_core.hashing import key_of

BINS = 15
FLOOR = -float(np.log(np.finfo(np.float64).tiny))  # nats that an impossible class costs: about 708
TEMPERATURES = 1e-4, 1e4


def log_softmax(scores: Array, temperature: float = 1.0) -> np.ndarray:
    """Log-probabilities, fp64 [N, C]; -inf where a score is -inf.

    Raises:
        DataError: no temperature above 0, scores that are NaN or +inf, or a row of nothing but -inf.
    """
    if not temperature > 0:
        raise DataError(f"a temperature of {temperature}: it must be above 0")
    scores_NC = matrix(scores, "scores", infinite=True).astype(np.float64) / temperature
    top_N1 = scores_NC.max(1, keepdims=True, initial=-np.inf)
    if not np.isfinite(top_N1).all():
        raise DataError(f"row {int(np.isinf(top_N1[:, 0]).argmax())} of scores has no class that can be")
    off_NC = scores_NC - top_N1
    return off_NC - np.log(np.exp(off_NC).sum(1, keepdims=True))


def negative_log_likelihood(log_probabilities: np.ndarray, labels: Array) -> np.ndarray:
    """What each sample's label costs in nats, fp64 [N]; an impossible one costs ``FLOOR``.

    Args:
        log_probabilities: from :func:`log_softmax`.

    Raises:
        DataError: labels out of range or not one a row.
    """
    n, c = log_probabilities.shape
    labels_N = class_ids(labels, "labels", rows=n, num_classes=c)
    return np.minimum(-log_probabilities[np.arange(n), labels_N], FLOOR)


def fitted_temperature(scores: Array, labels: Array) -> float:
    """The temperature of least mean negative log-likelihood, between 1e-4 and 1e4.

    Fit it on samples that are not those it is judged on.

    Raises:
        DataError: no samples, or as :func:`log_softmax` and :func:`negative_log_likelihood`.

    Source: Guo et al. 2017, "On calibration of modern neural networks", section 4.2.
    """
    from scipy.optimize import minimize_scalar

    scores_NC = matrix(scores, "scores", infinite=True)
    if not len(scores_NC):
        raise DataError("no samples: a temperature is fitted to at least one")

    def cost(log_temperature: float) -> float:
        return float(negative_log_likelihood(log_softmax(scores_NC, float(np.exp(log_temperature))), labels).mean())

    low, high = np.log(TEMPERATURES)
    grid = np.linspace(low, high, 37)  # a bracket first: far from the best the cost can be flat
    best = int(np.argmin([cost(x) for x in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)])
    found = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))  # pyright: ignore[reportAttributeAccessIssue]


def cross_calibrated(
    scores: Array, labels: Array, *, seed: int = 0, most: int = 0
) -> tuple[np.ndarray, tuple[float, float]]:
    """Log-probabilities where there are no samples but those to judge: each half by the temperature of the other.

    Args:
        most: samples of a half, at most, that its temperature is fitted to; 0: all. A thousand fix one number.

    Returns:
        fp64 [N, C], and the two temperatures, the first half's own first.

    Raises:
        DataError: fewer than two samples, or as :func:`fitted_temperature`.
    """
    scores_NC = matrix(scores, "scores", infinite=True)
    n, c = scores_NC.shape
    if n < 2:
        raise DataError(f"{n} samples: each half needs at least one")
    labels_N = class_ids(labels, "labels", rows=n, num_classes=c)
    halves = np.array_split(np.random.default_rng(key_of(seed, "halves")).permutation(n), 2)
    fitted = [half[: most or n] for half in halves]  # in a random order already
    first, second = (fitted_temperature(scores_NC[half], labels_N[half]) for half in fitted)
    found_NC = np.empty((n, c))
    found_NC[halves[0]] = log_softmax(scores_NC[halves[0]], second)
    found_NC[halves[1]] = log_softmax(scores_NC[halves[1]], first)
    return found_NC, (first, second)


def calibration_error(log_probabilities: np.ndarray, labels: Array, *, bins: int = BINS) -> float:
    """ECE: how far confidence and accuracy are apart, over bins of equal width, weighted by their samples.

    The confidence is the highest probability; a bin includes its lower end, the last its upper end too.

    Raises:
        DataError: no samples, or labels out of range.

    Source: Guo et al. 2017, section 2, equation 3.
    """
    n, c = log_probabilities.shape
    if not n:
        raise DataError("no samples: a calibration error is a mean over at least one")
    correct_N = log_probabilities.argmax(1) == class_ids(labels, "labels", rows=n, num_classes=c)
    confidence_N = np.exp(log_probabilities.max(1))
    edges = np.linspace(0, 1, bins + 1)
    bin_N = np.clip(np.searchsorted(edges, confidence_N, side="right") - 1, 0, bins - 1)
    gaps_B = np.bincount(bin_N, confidence_N - correct_N, minlength=bins)  # of sums: samples times the means' gap
    return float(np.abs(gaps_B).sum() / n)
