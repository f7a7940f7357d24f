"""The calibrated ensemble: each view's temperature fitted on samples that are not judged, their probabilities mixed.

Legend: N samples or images, M texts, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, blocks, class_ids, matrix
from siglino_core.evaluation.calibration import fitted_temperature, log_softmax, negative_log_likelihood
from siglino_core.evaluation.ensemble import BETA, entropy, weight

ALPHAS = tuple(np.linspace(0, 1, 21).tolist())
SMOOTHING = 1e-3  # of kNN's votes, the share that all classes get alike: a class without votes is unlikely


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How two views are mixed.

    Attributes:
        alpha: the first one's fixed weight; None: by entropies, with ``beta``.
        n: samples that it was fitted to.
        nll: their mean negative log-likelihood under the mix.
    """

    temperature_a: float
    temperature_b: float
    alpha: float | None = None
    beta: float = BETA
    n: int
    nll: float


def calibrate(
    a: Array, b: Array, labels: Array, *, beta: float = BETA, alphas: Sequence[float] | None = None
) -> Calibration:
    """Fit a mix to samples of the train split that were held out; never to those that it is judged on.

    Args:
        a, b: scores [N, C]: cosines, logits, or :func:`vote_logits`.
        labels: class numbers, [N].
        alphas: fixed weights of the first to choose from, the best likelihood's; None: weights by entropy.

    Raises:
        DataError: no samples, shapes differ, scores that are NaN or +inf, or labels out of range.
    """
    a_NC, b_NC = matrix(a, "scores", infinite=True), matrix(b, "scores", infinite=True)
    fixed = Calibration(
        temperature_a=fitted_temperature(a_NC, labels),
        temperature_b=fitted_temperature(b_NC, labels),
        beta=beta,
        n=len(a_NC),
        nll=float("nan"),
    )
    tried = []
    for alpha in [None] if alphas is None else alphas:
        candidate = Calibration(**{**vars(fixed), "alpha": alpha})
        tried.append((float(negative_log_likelihood(mix(a_NC, b_NC, candidate), labels).mean()), alpha))
    nll, alpha = min(tried, key=lambda found: found[0])
    return Calibration(**{**vars(fixed), "alpha": alpha, "nll": nll})


def mix(a: Array, b: Array, calibration: Calibration) -> np.ndarray:
    """The logarithm of w p + (1 - w) q, fp64 [N, C], p and q being the views' calibrated probabilities.

    Raises:
        DataError: shapes differ, or scores that are NaN or +inf.
    """
    p_NC = log_softmax(a, calibration.temperature_a)
    q_NC = log_softmax(b, calibration.temperature_b)
    if p_NC.shape != q_NC.shape:
        raise DataError(f"scores of shapes {p_NC.shape} and {q_NC.shape}: both views need the same samples and classes")
    if calibration.alpha is None:
        w_N1 = weight(entropy(p_NC), entropy(q_NC), calibration.beta)[:, None]
    else:
        w_N1 = np.full((len(p_NC), 1), float(calibration.alpha))
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log(w_N1) + p_NC, np.log1p(-w_N1) + q_NC)


def vote_logits(votes: Array, *, smoothing: float = SMOOTHING) -> np.ndarray:
    """kNN's votes as logits, fp64 [N, C]: the logarithm of their shares, with a little for every class.

    Raises:
        DataError: votes that are not finite or below 0.
    """
    votes_NC = matrix(votes, "votes").astype(np.float64)
    if (votes_NC < 0).any():
        raise DataError("votes below 0: these are not kNN's votes")
    total_N1 = votes_NC.sum(1, keepdims=True)
    even = 1 / votes_NC.shape[1]
    share_NC = np.where(total_N1 > 0, votes_NC / np.where(total_N1 > 0, total_N1, 1), even)
    return np.log((1 - smoothing) * share_NC + smoothing * even)


def calibrate_retrieval(
    a: Array, b: Array, text_to_image: Array, *, beta: float = BETA, alphas: Sequence[float] | None = None
) -> tuple[Calibration, Calibration]:
    """A mix for texts that look for images, and one for images that look for texts, each over its own candidates.

    Fit them on pairs that are not judged. An image with several captions is as many samples.

    Args:
        a, b: similarities [N, M] of images and texts.
        text_to_image: which image each text is of, [M].

    Raises:
        DataError: as :func:`calibrate`.
    """
    a_NM, b_NM = matrix(a, "similarities"), matrix(b, "similarities")
    image_M = class_ids(text_to_image, "text_to_image", rows=a_NM.shape[1], num_classes=len(a_NM))
    for_texts = calibrate(a_NM.T, b_NM.T, image_M, beta=beta, alphas=alphas)
    for_images = calibrate(a_NM[image_M], b_NM[image_M], np.arange(len(image_M)), beta=beta, alphas=alphas)
    return for_texts, for_images


def mix_retrieval(a: Array, b: Array, for_texts: Calibration, for_images: Calibration) -> tuple[np.ndarray, np.ndarray]:
    """Similarities for both directions, fp32 [N, M] each: for texts that look for images, and the other way round.

    They differ: the entropy and the probabilities are along a direction's own candidates. Rank each by its own.

    Raises:
        DataError: shapes differ, or similarities that are not finite.
    """
    a_NM, b_NM = matrix(a, "similarities"), matrix(b, "similarities")
    return _mixed(a_NM.T, b_NM.T, for_texts).T, _mixed(a_NM, b_NM, for_images)


def _mixed(a_QC: np.ndarray, b_QC: np.ndarray, calibration: Calibration) -> np.ndarray:
    """:func:`mix` of many queries, in blocks, fp32."""
    if a_QC.shape != b_QC.shape:
        raise DataError(f"similarities of shapes {a_QC.shape} and {b_QC.shape}: both views need the same pairs")
    found_QC = np.empty(a_QC.shape, np.float32)
    for rows in blocks(*a_QC.shape):
        found_QC[rows] = mix(a_QC[rows], b_QC[rows], calibration)
    return found_QC
