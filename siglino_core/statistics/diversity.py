"""How balanced a sample is: effective numbers, the rare half's share, and intervals over seeds."""

from collections.abc import Mapping, Sequence

import numpy as np

from siglino_core.hashing import key_of
from siglino_core.statistics.interval import Interval

SAMPLES = RANDOM, DEDUPLICATED, CURATED = "random", "duplicates removed, then random", "curated"


def effective_number(counts: np.ndarray) -> float:
    """exp of the entropy of a histogram: how many equally frequent classes would be as diverse (Hill 1973, order 1)."""
    total = counts.sum()
    if total == 0:
        return 0.0
    p = counts[counts > 0] / total
    return float(np.exp(-(p * np.log(p)).sum()))


def rare_half(pool: np.ndarray) -> np.ndarray:
    """Which labels are the rarer half of the label list in the pool: bool, ties by position."""
    rare = np.zeros(len(pool), bool)
    rare[np.argsort(pool, kind="stable")[: len(pool) // 2]] = True
    return rare


def random_draws(counts: np.ndarray, size: int, seeds: int, seed: int) -> np.ndarray:
    """Label histograms of random samples: int64 [seeds, labels], without touching a row."""
    draws = []
    for i in range(seeds):
        rng = np.random.default_rng(key_of(seed, "random sample", i))
        if counts.sum() < 10**9:
            draws.append(rng.multivariate_hypergeometric(counts, min(size, int(counts.sum())), method="marginals"))
        else:  # drawing with replacement is the same thing here
            draws.append(rng.multinomial(size, counts / counts.sum()))
    return np.array(draws)


def compare(
    pool: Mapping[str, int], candidates: Mapping[str, int], ours: Sequence[Mapping[str, int]], size: int, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Three samples of one size, each over as many seeds as ``ours`` has: row -> metric -> mean, low, high, n.

    Args:
        pool: images of each label in the pool; the label "" stands for none and counts only as mass.
        candidates: the same after duplicates were removed.
        ours: the curated sample's, one mapping a seed.
        size: images in a sample.
    """
    labels = sorted(set(pool) | set(candidates))
    named = np.array([label != "" for label in labels])
    if not named.any():
        return {}
    histogram = lambda m: np.array([m.get(label, 0) for label in labels], np.int64)  # noqa: E731
    pool_counts = histogram(pool)
    rare = rare_half(pool_counts[named])
    rows = {
        RANDOM: random_draws(pool_counts, size, len(ours), seed),
        DEDUPLICATED: random_draws(histogram(candidates), size, len(ours), seed + 1),
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
