"""How many images of each cluster are kept, exactly: top-down from sizes, or by one threshold for all.

Source: Vo et al. 2024 (arXiv 2405.15613), section 3.4, generalised: a cluster's claim is its size to a power
(0 = equal claims, the published form; 1 = the pool's own proportions, a random sample).

C clusters of a level, P clusters of the level above.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from siglino_core.hashing import key_of, uniform


def share(
    budget_P: np.ndarray,
    size_C: np.ndarray,
    parent_C: np.ndarray,
    power: float,
    key: int,
    weight_C: np.ndarray | None = None,
    mass_C: np.ndarray | None = None,
) -> np.ndarray:
    """Split every parent's budget among its children: int64 [C] quotas.

    Each child gets ``min(size, level * weight * mass ** power)`` with the one ``level`` a parent that spends its budget
    exactly (water-filling); fractions go one each to the children with the largest, ties at random.

    Args:
        budget_P: images for each parent, at most the sum of its children's sizes.
        size_C: images under each child.
        parent_C: each child's parent.
        power: 0..1.
        key: random key of this level (`siglino_core.hashing.key_of`).
        weight_C: above 0; None: 1 for each.
        mass_C: float, above 0 where the size is; None: the sizes.
    """
    mass = (size_C if mass_C is None else mass_C).astype(np.float64)
    claim_C = np.where(size_C > 0, np.power(mass, power), 0.0)
    full_C = size_C  # what stands first is full at the lowest level
    if weight_C is not None or mass_C is not None:
        claim_C = claim_C if weight_C is None else claim_C * weight_C
        full_C = np.divide(size_C, claim_C, out=np.zeros(len(size_C)), where=claim_C > 0)
    order = np.lexsort((full_C, parent_C))  # a parent's children stand together, small ones first
    size, parent, claim = size_C[order].astype(np.int64), parent_C[order], claim_C[order]
    starts = np.flatnonzero(np.r_[True, parent[1:] != parent[:-1]]) if len(parent) else np.empty(0, np.int64)
    group = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(size)]))
    budget = budget_P[parent]

    taken = _within(np.cumsum(size), starts, group)  # images in this child and its smaller siblings
    claimed = _within(np.cumsum(claim), starts, group)
    rest = claimed[np.r_[starts[1:], len(size)] - 1][group] - claimed + claim  # claims from this child on
    # Small children are served whole: child j is, if serving it at its own level leaves enough for the larger ones.
    with np.errstate(divide="ignore", invalid="ignore"):
        level_if_whole = np.where(claim > 0, size / claim, 0.0)
        whole = (taken - size) + level_if_whole * rest <= budget * (1 + 1e-12)
    whole &= _prefix(whole, starts, group)
    left = budget - _within(np.cumsum(np.where(whole, size, 0)), starts, group, total=True)
    rest_claim = _within(np.cumsum(np.where(whole, 0.0, claim)), starts, group, total=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ideal = np.where(whole | (rest_claim <= 0), 0.0, left * (claim / rest_claim))
    quota = np.where(whole, size, np.minimum(np.floor(ideal + 1e-9), size).astype(np.int64))

    short = budget - _within(np.cumsum(quota), starts, group, total=True)
    room = quota < size
    fraction = np.where(room, np.maximum(ideal - quota, 0), -1.0)
    tie = uniform(key, order.astype(np.uint64))
    rank_order = np.lexsort((tie, -np.round(fraction, 9), group))
    rank = np.empty(len(size), np.int64)
    rank[rank_order] = np.arange(len(size)) - starts[group[rank_order]] if len(size) else 0
    quota = quota + (room & (rank < short))

    out = np.empty(len(size), np.int64)
    out[order] = quota
    return out


def quotas(
    sizes: np.ndarray,
    parents: Sequence[np.ndarray],
    target: int,
    *,
    power: float,
    min_support: int,
    seed: int,
    weights: np.ndarray | None = None,
    claims: np.ndarray | None = None,
    images: np.ndarray | None = None,
) -> np.ndarray:
    """Images to keep of every level-1 cluster: int64 [K1], summing to ``target`` exactly.

    Args:
        sizes: int64 [K1], images of each level-1 cluster that may be kept (near-duplicates gone).
        parents: for each level but the top, int [K_level] the cluster of the next level up; empty for one level.
        target: at most the sum of sizes.
        power: a cluster's claim is its size to this power.
        min_support: level-1 clusters with fewer images are outliers, drawn at the pool's own rate instead, if the
            others can take the rest.
        seed: the run's.
        weights: float64 [K1], above 0, of each level-1 cluster's claim; a cluster above has the mean of the images
            under it. None: 1 for each.
        claims: float64 [K1], above 0 where the size is: what each level-1 cluster counts in place of its size when
            shares are made; a cluster above has the sum. None: the sizes.
        images: int64 [K1], what ``min_support`` is asked of; None: the sizes.
    """
    total = int(sizes.sum())
    assert 0 <= target <= total
    outlier = (sizes if images is None else images) < min_support
    fixed = np.zeros_like(sizes)
    if min_support > 1 and total:
        expected = sizes * (target / total)
        draw = uniform(key_of(seed, "outliers"), np.arange(len(sizes), dtype=np.uint64))
        fixed = np.where(outlier, np.floor(expected + draw), 0).astype(np.int64)
        regular = int(sizes[~outlier].sum())
        # The regular clusters must be able to take the rest; if not, outliers fill up like everyone else.
        if not 0 <= target - fixed.sum() <= regular:
            fixed, outlier = np.zeros_like(sizes), np.zeros(len(sizes), bool)
    free = np.where(outlier & (min_support > 1), 0, sizes).astype(np.int64)

    levels, weighed = [free], [None if weights is None else weights * free]
    masses = [None if claims is None else np.where(free > 0, claims, 0.0)]
    counts = [*(len(p) for p in parents[1:]), int(parents[-1].max()) + 1] if parents else []
    for parent, count in zip(parents, counts, strict=True):  # the last clusters of a level may have nothing under them
        levels.append(np.bincount(parent, levels[-1], minlength=count).astype(np.int64))
        for sums in (weighed, masses):
            below = sums[-1]
            sums.append(None if below is None else np.bincount(parent, below, minlength=count))
    budget = np.array([target - int(fixed.sum())], np.int64)
    for depth in range(len(levels) - 1, -1, -1):
        parent = parents[depth] if depth < len(parents) else np.zeros(len(levels[depth]), np.int64)
        size, sums = levels[depth], weighed[depth]
        mean = None if sums is None else np.divide(sums, size, out=np.ones(len(size)), where=size > 0)
        budget = share(budget, size, parent, power, key_of(seed, "quota", depth), mean, masses[depth])
    return budget + fixed


def choose(unit_N: np.ndarray, order_key_N: np.ndarray, quota_K: np.ndarray) -> np.ndarray:
    """Which rows are kept: bool [N], the ``quota_K[unit]`` rows of each unit with the lowest keys.

    Args:
        unit_N: int, the level-1 cluster of every row that may be kept.
        order_key_N: lower is kept first; ties by position.
        quota_K: int, rows to keep of each unit.
    """
    order = np.lexsort((order_key_N, unit_N))
    units = unit_N[order]
    first = np.searchsorted(units, units, side="left")
    kept = np.zeros(len(unit_N), bool)
    kept[order] = np.arange(len(units)) - first < quota_K[units]
    return kept


def _within(running: np.ndarray, starts: np.ndarray, group: np.ndarray, *, total: bool = False) -> np.ndarray:
    """Running sums restarted at every group; or, for every row, its whole group's sum."""
    if not len(running):
        return running
    before = np.where(starts > 0, running[starts - 1], 0)[group]
    return (running[np.r_[starts[1:], len(running)] - 1][group] if total else running) - before


def _prefix(flag: np.ndarray, starts: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Whether every row of the group up to this one holds the flag."""
    return _within(np.cumsum(~flag), starts, group) == 0


def kth_largest(chunks: Callable[[], Iterable[np.ndarray]], k: int) -> float:
    """The k-th largest of very many non-negative fp32 numbers, exactly, in two passes and 512 kB.

    Args:
        chunks: starts a pass over the numbers; inf is allowed.
        k: from 1; +inf is returned for k = 0, and -inf if there are fewer numbers.

    The bits of non-negative floats sort as integers do, so the upper and then the lower 16 bits are counted.
    """
    if k <= 0:
        return float("inf")
    high = np.zeros(1 << 16, np.int64)
    for chunk in chunks():
        high += np.bincount(_bits(chunk) >> 16, minlength=1 << 16)
    above = np.cumsum(high[::-1])[::-1]  # numbers in this bin or a higher one
    if above[0] < k:
        return float("-inf")
    top = int(np.flatnonzero(above >= k)[-1])
    left = k - int(above[top] - high[top])
    low = np.zeros(1 << 16, np.int64)
    for chunk in chunks():
        bits = _bits(chunk)
        low += np.bincount(bits[bits >> 16 == top] & 0xFFFF, minlength=1 << 16)
    bottom = int(np.flatnonzero(np.cumsum(low[::-1])[::-1] >= left)[-1])
    return float(np.array([(top << 16) | bottom], np.uint32).view(np.float32)[0])


def global_quotas(
    chunks: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]], clusters: int, target: int
) -> tuple[np.ndarray, float]:
    """One threshold for the members of all clusters: how many of each have a higher score.

    Args:
        chunks: starts a pass over (cluster int [N], score fp32 [N], at least 0) of all that may be kept.
        clusters: their number.
        target: images to keep in all, at most as many as there are.

    Returns:
        int64 [clusters], summing to ``target``, and the threshold. Members whose score is the threshold fill up, in
        the clusters' order.
    """
    threshold = kth_largest(lambda: (score for _, score in chunks()), target)
    above, level = np.zeros(clusters, np.int64), np.zeros(clusters, np.int64)
    for cluster, score in chunks():
        above += np.bincount(cluster[score > threshold], minlength=clusters)
        level += np.bincount(cluster[score == threshold], minlength=clusters)
    left = target - int(above.sum())
    before = np.cumsum(level) - level
    return above + np.clip(left - before, 0, level), threshold


def _bits(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.int64)
