"""Permuted labels at chance stay within their interval, though a class's samples err together."""

import numpy as np
import pytest

from siglino_core.evaluation.classification import classified
from siglino_core.evaluation.knn import votes
from siglino_core.evaluation.neighbours import nearest
from siglino_core.evaluation.tasks.judged import permuted_share
from siglino_core.evaluation.tasks.labelled import Labelled, Split
from siglino_core.statistics.proportion import wilson

C, TRAIN, TEST, PERMUTATIONS = 50, 20, 20, 60


def split_of(ids: np.ndarray, failed: dict[str, int] | None = None) -> Split:
    asked = Labelled(rows=np.arange(len(ids)), ids=ids, failed=failed or {}, unlabelled=0)
    return Split(classes=[str(c) for c in range(C)], asked=asked, bank=None)


@pytest.mark.slow
def test_chance_alone_seldom_looks_like_a_leak() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(C, 16))
    train, test = np.repeat(np.arange(C), TRAIN), np.repeat(np.arange(C), TEST)
    bank, asked = (centres[ids] + 0.1 * rng.normal(size=(len(ids), 16)) for ids in (train, test))
    found = nearest(bank.astype(np.float32), asked.astype(np.float32), 20)
    alone = together = 0
    for _ in range(PERMUTATIONS):
        scores = votes(found, rng.permutation(train), 20, temperature=0.07, num_classes=C)
        judged = classified(scores, test)
        low = wilson(int(judged.correct_N.sum()), judged.n).low
        alone += low is not None and low > 1 / C
        low = permuted_share(split_of(test), judged, 0).low
        together += low is not None and low > 1 / C
    assert together <= 0.05 * PERMUTATIONS
    assert alone > 0.1 * PERMUTATIONS  # as if samples were independent: why the interval is by class


def test_what_could_not_be_read_counts_as_wrong_in_its_class() -> None:
    ids = np.array([0, 0, 1, 1])
    judged = classified(np.eye(C)[[0, 0, 1, 2]], ids, failed=[2])
    found = permuted_share(split_of(ids, {"x": 2}), judged, 0)
    assert (found.value, found.n, found.method) == (pytest.approx(3 / 5), 5, "bootstrap, clustered by class")
