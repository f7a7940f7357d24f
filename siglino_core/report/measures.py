"""Numbers that the page derives from counts: a random sample's counts, quantiles, histograms."""

import numpy as np

from siglino_core.report.model import Counts
from siglino_core.statistics.diversity import effective_number, random_draw


def as_counts(counts: Counts) -> np.ndarray:
    """int64 [K], never negative."""
    return np.maximum(np.asarray(counts, dtype=np.int64).reshape(-1), 0)


def random_counts(pool: Counts, size: int) -> np.ndarray:
    """Counts of one uniform draw of ``size`` images without replacement; always the same draw."""
    return random_draw(as_counts(pool), size, np.random.default_rng(0))


def summary(counts: Counts) -> dict[str, float]:
    """How full the clusters of a set are."""
    counts_K = as_counts(counts)
    total = int(counts_K.sum())
    if not counts_K.size:
        return dict.fromkeys(("filled", "effective", "min", "q25", "median", "q75", "max", "largest_share"), 0.0)
    q25, median, q75 = np.quantile(counts_K, [0.25, 0.5, 0.75])
    return {
        "filled": int((counts_K > 0).sum()),
        "effective": effective_number(counts_K),
        "min": int(counts_K.min()),
        "q25": float(q25),
        "median": float(median),
        "q75": float(q75),
        "max": int(counts_K.max()),
        "largest_share": float(counts_K.max() / total) if total else 0.0,
    }


def ranked_shares(counts: Counts, points: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Ranks (from 1) and shares of the filled entries, largest first, thinned to at most ``points``."""
    counts_K = np.sort(as_counts(counts))[::-1]
    counts_K = counts_K[counts_K > 0]
    if not counts_K.size:
        return np.zeros(0), np.zeros(0)
    pick = np.unique(np.linspace(0, counts_K.size - 1, points).round().astype(np.int64))
    steep = np.unique(np.geomspace(1, counts_K.size, points // 4).astype(np.int64) - 1)
    pick = np.union1d(pick, steep)
    return pick + 1.0, counts_K[pick] / counts_K.sum()


def doubling_bins(*sets: Counts) -> tuple[list[str], list[np.ndarray]]:
    """Histograms over 0, 1, 2-3, 4-7, 8-15, ...: bin names, and for every set the share of its entries in each."""
    arrays = [as_counts(s) for s in sets]
    top = max((int(a.max()) for a in arrays if a.size), default=0)
    bins = top.bit_length() + 1
    names = ["0"] + [f"{2**b:,}" for b in range(bins - 1)]
    shares = []
    for a in arrays:
        where = np.where(a > 0, np.floor(np.log2(np.maximum(a, 1))).astype(np.int64) + 1, 0)
        shares.append(np.bincount(where, minlength=bins) / max(1, a.size))
    return names, shares
