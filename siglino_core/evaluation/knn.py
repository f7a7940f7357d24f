"""Classification by the nearest training samples, which vote by how similar they are.

A neighbour of cosine s votes for its class with exp((s - 1) / temperature); the class with the most votes wins, the
lowest of those that are equal.

Legend: N test rows, M train rows, D width, K neighbours, C classes, n rows of a block.
Source: Wu et al. 2018, "Unsupervised feature learning via non-parametric instance discrimination", section 3.4.
"""

from collections.abc import Sequence

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, blocks, class_ids, plain
from siglino_core.evaluation.neighbours import Neighbours, nearest

KS, TEMPERATURE = (20, 10, 100, 200), 0.07  # the first is the headline


def knn_classify(
    train_features: Array,
    train_labels: Array,
    test_features: Array,
    *,
    k: int = KS[0],
    temperature: float = TEMPERATURE,
    skip_self: bool = False,
    device: str = "cpu",
) -> np.ndarray:
    """The class that wins the vote of each test row, int64 [N]. Exact; k is clipped to the train set.

    Args:
        train_features: [M, D], of any length; train_labels: class numbers from 0, [M]; test_features: [N, D].
        skip_self: train and test are the same split: a sample does not vote for itself.

    Raises:
        DataError: as :func:`siglino_core.evaluation.neighbours.nearest`; labels out of range or not one a row.
    """
    labels_M = _labels(train_labels, train_features, None)
    found = nearest(train_features, test_features, k, skip_self=skip_self, device=device)
    winners_N = np.empty(len(found.rows_NK), np.int64)
    c = int(labels_M.max()) + 1
    for rows in blocks(len(winners_N), c):
        part = Neighbours(cosines_NK=found.cosines_NK[rows], rows_NK=found.rows_NK[rows])
        winners_N[rows] = votes(part, labels_M, k, temperature=temperature, num_classes=c, relative=True).argmax(1)
    return winners_N


def knn_votes(
    train_features: Array,
    train_labels: Array,
    test_features: Array,
    *,
    ks: Sequence[int] = KS,
    temperature: float = TEMPERATURE,
    skip_self: bool = False,
    num_classes: int | None = None,
    device: str = "cpu",
) -> dict[int, np.ndarray]:
    """The votes of the nearest k, fp64 [N, C], for each k of ``ks``, from one search.

    Of many classes and samples one k's votes are large: :func:`votes` gives them one at a time.

    Args:
        num_classes: None: up to the highest label.

    Raises:
        DataError: as :func:`knn_classify`.
    """
    labels_M = _labels(train_labels, train_features, num_classes)
    if not ks or min(ks) < 1:
        raise DataError(f"ks = {tuple(ks)}: at least one, of one neighbour or more each")
    found = nearest(train_features, test_features, max(ks), skip_self=skip_self, device=device)
    return {k: votes(found, labels_M, k, temperature=temperature, num_classes=num_classes) for k in ks}


def votes(
    found: Neighbours,
    train_labels: np.ndarray,
    k: int,
    *,
    temperature: float = TEMPERATURE,
    num_classes: int | None = None,
    relative: bool = False,
) -> np.ndarray:
    """The votes of the nearest ``k`` of each row, fp64 [N, C].

    Args:
        found: the nearest, at least ``k`` of them or all that there are.
        train_labels: int64 [M].
        relative: each row's as shares of its first neighbour's vote, which a low temperature cannot bring to zero.

    Raises:
        DataError: a temperature that is not above 0.
    """
    if not temperature > 0:
        raise DataError(f"a temperature of {temperature}: it must be above 0")
    cosines_NK, rows_NK = found.cosines_NK[:, :k].astype(np.float64), found.rows_NK[:, :k]
    c = int(train_labels.max()) + 1 if num_classes is None else num_classes
    weights_NK = np.exp((cosines_NK - (cosines_NK[:, :1] if relative else 1)) / temperature)
    cells_NK = np.arange(len(rows_NK))[:, None] * c + train_labels[rows_NK]
    # one neighbour after the other by rank, so that equal similarities give equal sums
    summed = np.bincount(cells_NK.reshape(-1), weights_NK.reshape(-1), minlength=len(rows_NK) * c)
    return summed.reshape(len(rows_NK), c)


def _labels(train_labels: Array, train_features: Array, num_classes: int | None) -> np.ndarray:
    m = len(plain(train_features))
    if not m:
        raise DataError("no train rows: a vote needs at least one")
    return class_ids(train_labels, "train labels", rows=m, num_classes=num_classes)
