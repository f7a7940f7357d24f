"""Bootstrap draws of summed rows, cheap and in bounded memory: weights times distinct rows, block by block.

Legend: N samples or groups, U distinct rows, V values of a row, B draws, b draws of a block.
"""

from collections.abc import Callable

import numpy as np

from siglino_core.errors import DataError
from siglino_core.hashing import key_of

Statistic = Callable[[np.ndarray], np.ndarray]  # sums of rows [B, V] -> a number each [B]
CELLS = 1 << 22  # numbers in memory at once
FEW = 4  # rows of more values are hardly ever equal, and sorting them costs more than it saves


def as_rows(rows: np.ndarray) -> np.ndarray:
    """fp64 [N, V] from [N] or [N, V].

    Raises:
        DataError: no rows, more dimensions, or one that is not finite.
    """
    rows_NV = np.asarray(rows, np.float64)
    if rows_NV.ndim == 1:
        rows_NV = rows_NV[:, None]
    if rows_NV.ndim != 2 or not len(rows_NV):
        raise DataError(f"samples of shape {np.shape(rows)}: a bootstrap needs [N] or [N, V], N at least 1")
    bad_N = ~np.isfinite(rows_NV).all(1)
    if bad_N.any():
        raise DataError(f"sample {int(bad_N.argmax())} of a bootstrap is not finite: leave it out or count it as wrong")
    return rows_NV


def by_group(rows_NV: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Sums of the rows of each group, fp64 [G, V], and how many rows it has as one value more: [G, V + 1].

    Without groups each row is its own.

    Raises:
        DataError: as many groups as rows are needed.
    """
    ones_N1 = np.ones((len(rows_NV), 1))
    rows_NV = np.concatenate([rows_NV, ones_N1], 1)
    if groups is None:
        return rows_NV
    groups_N = np.asarray(groups)
    if groups_N.shape != (len(rows_NV),):
        raise DataError(f"groups of shape {groups_N.shape} for {len(rows_NV)} samples: each sample needs one group")
    _, group_N = np.unique(groups_N, return_inverse=True)
    order_N = np.argsort(group_N, kind="stable")
    starts_G = np.searchsorted(group_N[order_N], np.arange(group_N.max() + 1))
    return np.add.reduceat(rows_NV[order_N], starts_G)


def resampled(rows_NV: np.ndarray, statistic: Statistic, *, draws: int, seed: int) -> np.ndarray:
    """The statistic of ``draws`` resamples with replacement, fp64 [B].

    Equal rows are drawn together, by how many there are of them: of 50,000 yes and no answers a draw costs two numbers.
    """
    distinct_UV, counts_U = rows_NV, np.ones(len(rows_NV), np.int64)
    if rows_NV.shape[1] <= FEW:
        distinct_UV, counts_U = np.unique(rows_NV, axis=0, return_counts=True)
    n, u = len(rows_NV), len(distinct_UV)
    rng = np.random.default_rng(key_of(seed, "bootstrap"))
    step = max(1, CELLS // max(u, rows_NV.shape[1]))
    found = []
    for start in range(0, draws, step):
        b = min(step, draws - start)
        if u < n // 4:
            weights_bU = rng.multinomial(n, counts_U / n, size=b)
        else:  # drawing rows is cheaper than drawing how often each comes
            weights_bU = _counted(rng, n, b, np.repeat(np.arange(u), counts_U), u)
        found.append(statistic(weights_bU.astype(np.float64) @ distinct_UV))
    return np.concatenate(found)


def _counted(rng: np.random.Generator, n: int, b: int, distinct_N: np.ndarray, u: int) -> np.ndarray:
    """How often each distinct row comes in ``b`` draws of n rows: int64 [b, U]."""
    return np.stack([np.bincount(distinct_N[rng.integers(n, size=n)], minlength=u) for _ in range(b)])


def left_out(rows_NV: np.ndarray, statistic: Statistic) -> np.ndarray:
    """The statistic without each row in turn, fp64 [N]."""
    total_V = rows_NV.sum(0)
    step = max(1, CELLS // rows_NV.shape[1])
    return np.concatenate([statistic(total_V - rows_NV[i : i + step]) for i in range(0, len(rows_NV), step)])
