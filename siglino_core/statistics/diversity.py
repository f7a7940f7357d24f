"""How balanced a sample is: effective numbers, the rare half's share, and intervals over seeds."""

from collections.abc import Mapping, Sequence

import numpy as np

from siglino_core.hashing import key_of
from siglino_core.statistics.interval import Interval

SAMPLES = RANDOM, DEDUPLICATED, CURATED = "random", "duplicates removed, then random", "curated"


def effective_number(counts: np.ndarray | Sequence[int]) -> float:
    """exp of the entropy of a histogram: how many equally frequent classes would be as diverse (Hill 1973, order 1).

    K if all are equal, 1 if one has everything, 0 if there is nothing.
    """
    counts_K = np.asarray(counts)
    total = counts_K.sum()
    if total == 0:
        return 0.0
    p = counts_K[counts_K > 0] / total
    return float(np.exp(-(p * np.log(p)).sum()))


def rare_half(pool: np.ndarray) -> np.ndarray:
    """Which labels are the rarer half of the label list in the pool: bool, ties by position."""
    rare = np.zeros(len(pool), bool)
    rare[np.argsort(pool, kind="stable")[: len(pool) // 2]] = True
    return rare


def random_draw(counts_K: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """The histogram of a uniform draw without replacement: int64 [K], without touching a row.

    Beyond NumPy's hypergeometric range (1e9 images) the draw is multinomial, which then hardly differs.
    """
    total = int(counts_K.sum())
    if total < 10**9:
        return rng.multivariate_hypergeometric(counts_K, min(size, total), method="marginals")
    return rng.multinomial(size, counts_K / total) if size < total else counts_K


def random_draws(counts_K: np.ndarray, size: int, seeds: int, seed: int) -> np.ndarray:
    """Histograms of random samples: int64 [seeds, K]."""
    rngs = (np.random.default_rng(key_of(seed, "random sample", i)) for i in range(seeds))
    return np.array([random_draw(counts_K, size, rng) for rng in rngs])


def compare(
    pool: Mapping[str, int],
    candidates: Mapping[str, int],
    ours: Sequence[Mapping[str, int]],
    size: int,
    seeds: int,
    seed: int,
) -> dict[str, dict[str, dict[str, float]]]:
    """Three samples of one size: row -> metric -> mean, low, high, n.

    Args:
        pool: images of each label in the pool; the label "" stands for none and counts only as mass.
        candidates: the same after duplicates were removed.
        ours: the curated sample's, one mapping a draw; one alone if nothing is drawn.
        size: images in a sample.
        seeds: draws of each random sample.
    """
    labels = sorted(set(pool) | set(candidates))
    named = np.array([label != "" for label in labels])
    if not named.any():
        return {}
    histogram = lambda m: np.array([m.get(label, 0) for label in labels], np.int64)  # noqa: E731
    pool_counts = histogram(pool)
    rare = rare_half(pool_counts[named])
    rows = {
        RANDOM: random_draws(pool_counts, size, seeds, seed),
        DEDUPLICATED: random_draws(histogram(candidates), size, seeds, seed + 1),
        CURATED: np.array([histogram(m) for m in ours]),
    }
    return {
        row: {
            "effective_labels": vars(Interval.of([effective_number(h[named]) for h in draws])),
            "rare_half_share": vars(Interval.of([float(h[named][rare].sum() / max(1, h[named].sum())) for h in draws])),
            "labels_covered": vars(Interval.of([float((h[named] > 0).sum()) for h in draws])),
        }
        for row, draws in rows.items()
    }
