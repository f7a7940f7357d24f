"""Numbers that the page derives from counts: effective numbers, a random sample's counts, quantiles."""

import numpy as np

from siglino_core.report.model import Counts


def as_counts(counts: Counts) -> np.ndarray:
    """int64 [K], never negative."""
    return np.maximum(np.asarray(counts, dtype=np.int64).reshape(-1), 0)


def effective_number(counts: Counts) -> float:
    """exp of the entropy of the shares: K if all are equal, 1 if one has everything, 0 if there is nothing."""
    found = as_counts(counts)
    found = found[found > 0]
    if not found.size:
        return 0.0
    p = found / found.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def random_counts(pool: Counts, size: int) -> np.ndarray:
    """Counts of one uniform draw of ``size`` images without replacement; always the same draw.

    Beyond NumPy's hypergeometric range (1e9 images) the draw is multinomial, which then hardly differs.
    """
    pool_K = as_counts(pool)
    total = int(pool_K.sum())
    if size >= total:
        return pool_K
    rng = np.random.default_rng(0)
    if total < 1_000_000_000:
        return rng.multivariate_hypergeometric(pool_K, size, method="marginals")
    return rng.multinomial(size, pool_K / total)


def summary(counts: Counts) -> dict[str, float]:
    """How full the clusters of a set are."""
    found = as_counts(counts)
    total = int(found.sum())
    if not found.size:
        return dict.fromkeys(("filled", "effective", "min", "q25", "median", "q75", "max", "largest_share"), 0.0)
    q25, median, q75 = np.quantile(found, [0.25, 0.5, 0.75])
    return {
        "filled": int((found > 0).sum()),
        "effective": effective_number(found),
        "min": int(found.min()),
        "q25": float(q25),
        "median": float(median),
        "q75": float(q75),
        "max": int(found.max()),
        "largest_share": float(found.max() / total) if total else 0.0,
    }


def ranked_shares(counts: Counts, points: int = 160) -> tuple[np.ndarray, np.ndarray]:
    """Ranks (from 1) and shares of the filled entries, largest first, thinned to at most ``points``."""
    found = np.sort(as_counts(counts))[::-1]
    found = found[found > 0]
    if not found.size:
        return np.zeros(0), np.zeros(0)
    pick = np.unique(np.linspace(0, found.size - 1, points).round().astype(np.int64))
    steep = np.unique(np.geomspace(1, found.size, points // 4).astype(np.int64) - 1)
    pick = np.union1d(pick, steep)
    return pick + 1.0, found[pick] / found.sum()


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
