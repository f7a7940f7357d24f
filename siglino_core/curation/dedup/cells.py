"""Cells: parts of the hierarchy of some thousand images, inside which every image is compared with every other.

K clusters of a level, M of them that are looked at, D channels.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from siglino_core.config import Seeding
from siglino_core.curation.clustering.assign import nearest
from siglino_core.curation.clustering.kmeans import Recipe, steps
from siglino_core.curation.clustering.points import Blocks
from siglino_core.errors import DataError

CELL = 4096  # images, at most, but for a larger cluster of level 1
KNOWN = 1 << 17  # clusters of a level, at most, whose centroids are looked at

Centroids = Callable[[int], np.ndarray]


def cells(size_K: np.ndarray, parents: Sequence[np.ndarray], centroids: Centroids, *, most: int = CELL) -> np.ndarray:
    """The cell of every cluster of level 1: int32 [K], from 0 without gaps.

    A cluster of at most ``most`` images lies in one cell, whatever its level. The children of a larger one are brought
    together, near ones first: images of small clusters have their neighbours in the same cell nevertheless.

    Args:
        size_K: int, images of every cluster of level 1.
        parents: for each level but the top, int [K]: the cluster of the next level up; empty for one level.
        centroids: of a level, from 1: float [K, D]. Not asked of levels with more than `KNOWN` clusters, whose
            children are brought together in the order of their numbers.
        most: images of a cell.
    """
    sizes = [np.asarray(size_K, np.int64)]
    counts = [*(len(p) for p in parents[1:]), int(parents[-1].max()) + 1] if parents else []
    for parent, count in zip(parents, counts, strict=True):
        sizes.append(np.bincount(parent, sizes[-1], minlength=count).astype(np.int64))
    cell_K = np.array([-1 if sizes[0].sum() > most else 0], np.int32)  # -1: its children are looked at
    number = 1 + int(cell_K[0])
    for level in range(len(sizes), 0, -1):
        size, parent = sizes[level - 1], parents[level - 1] if level < len(sizes) else np.zeros(len(sizes[-1]), int)
        cell_K = cell_K[parent]
        known = centroids(level) if len(size) <= KNOWN and (cell_K < 0).any() else None
        for siblings in _siblings(np.flatnonzero(cell_K < 0), parent):
            for group in _groups(siblings, size, known, most):
                if level == 1 or size[group].sum() <= most:
                    cell_K[group] = number
                    number += 1
    return np.unique(cell_K, return_inverse=True)[1].astype(np.int32)  # clusters above may have had none below them


def _siblings(cluster_M: np.ndarray, parent_K: np.ndarray) -> list[np.ndarray]:
    """Clusters by their parent."""
    ordered = cluster_M[np.argsort(parent_K[cluster_M], kind="stable")]
    return np.split(ordered, np.flatnonzero(np.diff(parent_K[ordered])) + 1) if len(ordered) else []


def _groups(
    cluster_M: np.ndarray, size_K: np.ndarray, centroid_KD: np.ndarray | None, most: int
) -> Iterator[np.ndarray]:
    """Clusters in groups of at most ``most`` images; a larger one alone."""
    size_M = size_K[cluster_M]
    large = size_M > most
    yield from (cluster_M[i : i + 1] for i in np.flatnonzero(large))
    cluster_M, size_M = cluster_M[~large], size_M[~large]
    total = int(size_M.sum())
    if not len(cluster_M):
        return
    if total <= most:
        yield cluster_M
        return
    group_M = _grouped(cluster_M, size_M, centroid_KD, min(len(cluster_M), -(-2 * total // most)))
    for group in np.unique(group_M):
        members = cluster_M[group_M == group]
        if len(members) == len(cluster_M):  # nothing tells them apart
            yield from np.split(members, len(members))
        else:
            yield from _groups(members, size_K, centroid_KD, most)


def _grouped(cluster_M: np.ndarray, size_M: np.ndarray, centroid_KD: np.ndarray | None, groups: int) -> np.ndarray:
    """The group of each cluster, int [M]: the nearest of some that are far apart; or by number, equally many images."""
    if groups == len(cluster_M):
        return np.arange(groups)
    if centroid_KD is not None:
        points = Blocks()
        points.add(0, centroid_KD[cluster_M], cluster_M.astype(np.uint64))
        recipe = Recipe(
            level=0, k=groups, seeding=Seeding.D2_ROUNDS, iterations=0, resampling=0, resampling_iterations=0, seed=0
        )
        try:
            *_, last = steps(points, recipe)
        except DataError:  # fewer distinct centroids than groups
            pass
        else:
            assert last.centroids is not None
            return nearest(centroid_KD[cluster_M].astype(np.float16), torch.from_numpy(last.centroids))[0]
    return (np.cumsum(size_M) - size_M) * groups // size_M.sum()
