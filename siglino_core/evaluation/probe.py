"""Linear probes of frozen features: logistic regression, and ridge regression in closed form.

Features are standardised by the samples that a probe is fitted to. How strongly it is held back is chosen on a part of
the train split; then it is fitted again to all of it. A class without train samples has score -inf.

Legend: N test rows, M train rows, D width, C classes, P classes that train samples have.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, class_ids, matrix, same_width
from siglino_core.evaluation.hold_out import held_out

LOGISTIC = tuple(float(f"1e{power}") for power in range(-6, 6))  # C: high is free
RIDGE = tuple(float(f"1e{power}") for power in range(-6, 5))  # lambda a sample: high is held back
CONSTANT = 1e-12  # as in PHI-S: what rounding leaves of a constant, beside the mean
Scores = Callable[[float], np.ndarray]  # by strength


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """What a probe says of the test split.

    Attributes:
        scores_NC: fp64; the logistic one's are log-probabilities, ridge's aim at 1 for the class and 0 for the others.
        strength: the chosen C or lambda.
        by_strength: top-1 on the held-out samples; empty where none could be held out.
        held_out: how many they were.
        converged: whether the last fit ended by itself.
    """

    scores_NC: np.ndarray
    strength: float
    by_strength: Mapping[float, float] = field(default_factory=dict)
    held_out: int = 0
    converged: bool = True


def logistic_probe(
    train_features: Array,
    train_labels: Array,
    test_features: Array,
    *,
    num_classes: int | None = None,
    strengths: Sequence[float] = LOGISTIC,
    share: float = 0.1,
    seed: int = 0,
    iterations: int = 1000,
) -> Probe:
    """Multinomial logistic regression, by scikit-learn's L-BFGS in fp64.

    Args:
        train_features: [M, D]; train_labels: class numbers, [M]; test_features: [N, D].
        num_classes: None: up to the highest label.
        strengths: values of C; of equally good ones the lowest is taken. Without held-out samples: that nearest to 1.
        share: of the train split that is held out to choose C.

    Raises:
        DataError: fewer than two classes in the train split, widths that differ, labels out of range, or rows that are
            not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    converged = True

    def fitted(train_MD: np.ndarray, labels_M: np.ndarray, test_ND: np.ndarray) -> Scores:
        model = LogisticRegression(max_iter=iterations, warm_start=True)

        def scores(strength: float) -> np.ndarray:
            nonlocal converged
            model.set_params(C=strength)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.fit(train_MD, labels_M)
            converged = int(np.max(model.n_iter_)) < iterations
            return _log_probabilities(model.decision_function(test_ND)) if len(test_ND) else np.empty((0, p))

        p = len(np.unique(labels_M))
        return scores

    default = min(strengths, key=lambda c: abs(np.log(c)))
    found = _probe(
        train_features, train_labels, test_features, num_classes, fitted, sorted(strengths), default, share, seed
    )
    return Probe(**{**vars(found), "converged": converged})


def ridge_probe(
    train_features: Array,
    train_labels: Array,
    test_features: Array,
    *,
    num_classes: int | None = None,
    strengths: Sequence[float] = RIDGE,
    share: float = 0.1,
    seed: int = 0,
) -> Probe:
    """Least squares on one-hot classes with ``M * lambda`` times the squared weights, in closed form and fp64.

    Args:
        train_features: [M, D]; train_labels: class numbers, [M]; test_features: [N, D].
        num_classes: None: up to the highest label.
        strengths: values of lambda; of equally good ones the highest is taken. Without held-out samples: that nearest
            to 1.
        share: of the train split that is held out to choose lambda.

    Raises:
        DataError: as :func:`logistic_probe`.
    """

    def fitted(train_MD: np.ndarray, labels_M: np.ndarray, test_ND: np.ndarray) -> Scores:
        present_P, place_M = np.unique(labels_M, return_inverse=True)
        wanted_MP = np.eye(len(present_P))[place_M]
        mean_P = wanted_MP.mean(0)
        values_D, vectors_DD = np.linalg.eigh(train_MD.T @ train_MD)  # one decomposition for every strength
        along_DP = vectors_DD.T @ (train_MD.T @ (wanted_MP - mean_P))
        test_along_ND = test_ND @ vectors_DD

        def scores(strength: float) -> np.ndarray:
            shrunk_DP = along_DP / (np.maximum(values_D, 0) + len(train_MD) * strength)[:, None]
            return test_along_ND @ shrunk_DP + mean_P

        return scores

    default = min(strengths, key=lambda c: abs(np.log(c)))
    ordered = sorted(strengths, reverse=True)
    return _probe(train_features, train_labels, test_features, num_classes, fitted, ordered, default, share, seed)


def _probe(
    train_features: Array,
    train_labels: Array,
    test_features: Array,
    num_classes: int | None,
    fitted: Callable[[np.ndarray, np.ndarray, np.ndarray], Scores],
    strengths: Sequence[float],
    default: float,
    share: float,
    seed: int,
) -> Probe:
    """Choose a strength, the first of the best in their order, and fit again."""
    train_MD, test_ND = matrix(train_features, "train features"), matrix(test_features, "test features")
    same_width(train_MD, test_ND, "train and test features")
    labels_M = class_ids(train_labels, "train labels", rows=len(train_MD), num_classes=num_classes)
    present_P = np.unique(labels_M)
    if len(present_P) < 2:
        raise DataError(f"the train split has {len(present_P)} classes: a probe tells at least two apart")
    held_M = held_out(labels_M, share=share, seed=seed)
    by_strength: dict[float, float] = {}
    if held_M.any():  # every class keeps a sample, so the columns are those of all of them
        train, chosen_on = _standardised(train_MD[~held_M], train_MD[held_M])
        scores = fitted(train, labels_M[~held_M], chosen_on)
        for strength in strengths:
            by_strength[strength] = float((present_P[scores(strength).argmax(1)] == labels_M[held_M]).mean())
    strength = max(by_strength, key=lambda s: by_strength[s]) if by_strength else default
    train, test = _standardised(train_MD, test_ND)
    scores_NC = np.full((len(test), int(labels_M.max()) + 1 if num_classes is None else num_classes), -np.inf)
    scores_NC[:, present_P] = fitted(train, labels_M, test)(strength)
    return Probe(scores_NC=scores_NC, strength=strength, by_strength=by_strength, held_out=int(held_M.sum()))


def _standardised(train_MD: np.ndarray, test_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both by the first's mean and standard deviation, fp64; what is constant there becomes 0."""
    mean_D = train_MD.mean(0, dtype=np.float64)
    off_MD = train_MD - mean_D
    spread_D = off_MD.std(0)
    spread_D[spread_D <= CONSTANT * np.abs(mean_D)] = np.inf
    return off_MD / spread_D, (test_ND - mean_D) / spread_D


def _log_probabilities(decision: np.ndarray) -> np.ndarray:
    """scikit-learn's decision values, [N] for two classes, as log-probabilities [N, P]."""
    if decision.ndim == 1:
        return np.stack([-np.logaddexp(0, decision), -np.logaddexp(0, -decision)], 1)
    top_N1 = decision.max(1, keepdims=True)
    return decision - top_N1 - np.log(np.exp(decision - top_N1).sum(1, keepdims=True))
