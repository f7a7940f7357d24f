"""A pool whose better sample is known: one label has nearly all images, so that as many of each label teach more."""

import numpy as np


def mixture(
    head: int = 900, others: int = 24, each: int = 20, dim: int = 24, spread: float = 0.8
) -> tuple[np.ndarray, np.ndarray]:
    """Unit fp32 [N, D] and labels [N]; label 0 is the head."""
    rng = np.random.default_rng(0)
    label = rng.permutation(np.repeat(np.arange(others + 1), [head, *[each] * others]))
    centres = rng.normal(size=(others + 1, dim))
    x = centres[label] + spread * rng.normal(size=(len(label), dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), label


def balanced(label: np.ndarray, free: np.ndarray, target: int, seed: int) -> np.ndarray:
    """Of the free images as many of each label, as far as there are: sorted rows."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(free))
    rank = np.empty(len(rows), int)
    for one in np.unique(label):
        here = label[rows] == one
        rank[here] = np.arange(here.sum())
    return np.sort(rows[np.argsort(rank, kind="stable")[:target]])
