"""Two views as one: SigLino's entropy-weighted form, a plain average, one joined vector, and the better of the two.

`calibrated.py` has the form whose temperatures are fitted.

Legend: N samples, C classes, D and E widths.
"""

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, matrix, unit
from siglino_core.evaluation.calibration import log_softmax
from siglino_core.evaluation.classification import classified

BETA = 5.0
SMALLEST = 1e-8  # probabilities below count as this in a logarithm, as in the released code


def ensemble(
    a: Array, b: Array, *, beta: float = BETA, temperature_a: float = 1.0, temperature_b: float = 1.0
) -> np.ndarray:
    """The released SigLino's ensemble of two heads' logits, fp64 [N, C].

    w a / Ta + (1 - w) b / Tb, where w is the first of softmax(-beta H(softmax a / Ta), -beta H(softmax b / Tb)): the
    head that is surer of a sample counts more. On raw cosines both are about equally unsure and w is about a half.

    Args:
        a, b: [N, C].

    Raises:
        DataError: shapes differ, or numbers that are not finite.
    """
    a_NC, b_NC = _pair(a, b, "logits")
    entropy_a, entropy_b = entropy(log_softmax(a_NC, temperature_a)), entropy(log_softmax(b_NC, temperature_b))
    w_N1 = weight(entropy_a, entropy_b, beta)[:, None]
    return w_N1 * a_NC / temperature_a + (1 - w_N1) * b_NC / temperature_b


def ensemble_votes(a: Array, b: Array, *, beta: float = BETA) -> np.ndarray:
    """The released form for kNN, fp64 [N, C]: votes as they are, weighted by the entropies of their shares.

    The head whose cosines are higher has the heavier votes and mostly wins, whatever the entropies say.

    Args:
        a, b: votes, [N, C], none below 0; a row without votes is as unsure as can be.

    Raises:
        DataError: shapes differ, or votes that are not finite or below 0.
    """
    a_NC, b_NC = _pair(a, b, "votes")
    w_N1 = weight(_vote_entropy(a_NC), _vote_entropy(b_NC), beta)[:, None]
    return w_N1 * a_NC + (1 - w_N1) * b_NC


def entropy(log_probabilities: np.ndarray) -> np.ndarray:
    """Of each row, in nats, fp64 [N]."""
    p_NC = np.exp(log_probabilities)
    return -(p_NC * np.maximum(log_probabilities, np.log(SMALLEST))).sum(1)


def weight(entropy_a: np.ndarray, entropy_b: np.ndarray, beta: float = BETA) -> np.ndarray:
    """How much the first counts, fp64 [N] in 0 to 1: the first of softmax(-beta Ha, -beta Hb)."""
    from scipy.special import expit

    return expit(beta * (entropy_b - entropy_a))


def average(a: Array, b: Array) -> np.ndarray:
    """The plain mean of two heads' scores, fp64 [N, C].

    Raises:
        DataError: shapes differ, or numbers that are not finite.
    """
    a_NC, b_NC = _pair(a, b, "scores")
    return (a_NC + b_NC) / 2


def concat(a: Array, b: Array, *, alpha: float = 0.5) -> np.ndarray:
    """One vector of both, fp32 [N, D + E], of length 1.

    Its cosines are alpha times the first view's plus 1 - alpha times the second's.

    Args:
        a, b: features [N, D] and [N, E], of any length.
        alpha: the first's weight, 0 to 1.

    Raises:
        DataError: not the same samples, an alpha outside 0 to 1, or rows that are not finite or zero.
    """
    if not 0 <= alpha <= 1:
        raise DataError(f"alpha = {alpha}: the first view's weight is 0 to 1")
    a_ND, b_NE = unit(a, "the first view"), unit(b, "the second view")
    if len(a_ND) != len(b_NE):
        raise DataError(f"views of {len(a_ND)} and {len(b_NE)} samples: they must be of the same")
    return np.concatenate([np.sqrt(np.float32(alpha)) * a_ND, np.sqrt(np.float32(1 - alpha)) * b_NE], 1)


def oracle_of_two(a: Array, b: Array, labels: Array) -> np.ndarray:
    """Whether either head alone names the class, bool [N]: what no choice between the two can beat.

    Raises:
        DataError: shapes differ, numbers that are NaN or +inf, or labels out of range.
    """
    a_NC, b_NC = matrix(a, "scores", infinite=True), matrix(b, "scores", infinite=True)
    _same_shape(a_NC, b_NC, "scores")
    return classified(a_NC, labels).correct_N | classified(b_NC, labels).correct_N


def _vote_entropy(votes_NC: np.ndarray) -> np.ndarray:
    if (votes_NC < 0).any():
        raise DataError("votes below 0: these are not kNN's votes")
    total_N1 = votes_NC.sum(1, keepdims=True)
    c = votes_NC.shape[1]
    p_NC = np.where(total_N1 > 0, votes_NC / np.where(total_N1 > 0, total_N1, 1), 1 / c)
    return entropy(np.log(np.maximum(p_NC, np.finfo(np.float64).tiny)))


def _pair(a: Array, b: Array, what: str) -> tuple[np.ndarray, np.ndarray]:
    a_NC, b_NC = matrix(a, what).astype(np.float64), matrix(b, what).astype(np.float64)
    _same_shape(a_NC, b_NC, what)
    return a_NC, b_NC


def _same_shape(a_NC: np.ndarray, b_NC: np.ndarray, what: str) -> None:
    if a_NC.shape != b_NC.shape:
        raise DataError(f"{what} of shapes {a_NC.shape} and {b_NC.shape}: both heads need the same samples and classes")
