"""Points that stay where they are: what k-means asks of them, and a worker's own blocks of them.

Every answer is the same for any distribution of the blocks over workers:

- points are float16 of at most unit length, multiples of 2^-24, so fp64 sums of fewer than 2^29 of them are exact,
  whatever the order (per-cluster sums never round);
- random choices belong to the row's id (`siglino_core.hashing`), ties go to the lower id;
- a block's distances are computed tile by tile, alike on every worker, in one thread.

N points of a block, K centroids, M candidates, D channels.
"""

import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from siglino_core.curation.clustering.assign import nearest
from siglino_core.hashing import uniform

SAME = 1e-5  # squared distances below this are rounding: the point is the seed


@dataclass(frozen=True)
class Candidates:
    """Points drawn from a set, best first."""

    keys_M: np.ndarray  # fp64, lower is better
    ids_M: np.ndarray  # uint64
    points_MD: np.ndarray  # float16

    @staticmethod
    def best(parts: Sequence["Candidates"], m: int) -> "Candidates":
        keys = np.concatenate([p.keys_M for p in parts])
        ids = np.concatenate([p.ids_M for p in parts])
        points = np.concatenate([p.points_MD for p in parts])
        order = np.lexsort((ids, keys))[:m]
        return Candidates(keys[order], ids[order], points[order])


@dataclass(frozen=True)
class Moments:
    """What one assignment says of every centroid's points; adding two of them is exact."""

    sums_KD: np.ndarray  # fp64
    counts_K: np.ndarray  # int64
    inertia: dict[int, float]  # summed squared distance of each block

    @staticmethod
    def total(parts: Sequence["Moments"]) -> "Moments":
        sums, counts = parts[0].sums_KD.copy(), parts[0].counts_K.copy()
        inertia = dict(parts[0].inertia)
        for part in parts[1:]:
            sums += part.sums_KD
            counts += part.counts_K
            inertia |= part.inertia
        return Moments(sums, counts, inertia)

    @property
    def mean_inertia(self) -> float:
        """Mean squared distance of a point to its centroid, the same for any order of the blocks."""
        return math.fsum(self.inertia.values()) / max(1, int(self.counts_K.sum()))


class Points(Protocol):
    """A set of points, somewhere."""

    def count(self) -> int:
        """Points that take part (all of them, or those kept by :meth:`thin`)."""
        ...

    def draw(self, key: int, m: int, *, weighted: bool) -> Candidates:
        """``m`` points without replacement: uniformly, or in proportion to their squared distance to the seeds."""
        ...

    def absorb(self, seeds_MD: np.ndarray, first: int) -> None:
        """Compare every point with new seeds, numbered from ``first``, and forget those of before if it is 0."""
        ...

    def assign(self, centroids_KD: np.ndarray) -> Moments:
        """Give every point its nearest centroid."""
        ...

    def farthest(self, m: int) -> Candidates:
        """The ``m`` points that are farthest from their centroids."""
        ...

    def thin(self, key: int, share_K: np.ndarray | None) -> None:
        """Let only a share of each centroid's points take part from now on; None: all again."""
        ...


class Divided(Points, ABC):
    """Points that several workers hold, as one set: each is asked, and what they answer is merged."""

    @abstractmethod
    def _all(self, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        """What each worker's `Blocks` answers, in any order."""

    def count(self) -> int:
        return sum(self._all("count"))

    def draw(self, key: int, m: int, *, weighted: bool) -> Candidates:
        return Candidates.best(self._all("draw", key, m, weighted=weighted), m)

    def absorb(self, seeds_MD: np.ndarray, first: int) -> None:
        self._all("absorb", seeds_MD, first)

    def assign(self, centroids_KD: np.ndarray) -> Moments:
        return Moments.total(self._all("assign", centroids_KD))

    def farthest(self, m: int) -> Candidates:
        return Candidates.best(self._all("farthest", m), m)

    def thin(self, key: int, share_K: np.ndarray | None) -> None:
        self._all("thin", key, share_K)


class Blocks:
    """The blocks that one worker holds: float16 on local disk, mapped; labels and distances in memory."""

    def __init__(self, device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._folder = tempfile.TemporaryDirectory(prefix="siglino-points-")
        self._blocks: dict[int, _Block] = {}

    def add(self, index: int, points_ND: np.ndarray, ids_N: np.ndarray) -> None:
        """Hold a block; ``index`` numbers it among all blocks of the set."""
        path = Path(self._folder.name) / f"{index}.npy"
        np.save(path, points_ND.astype(np.float16), allow_pickle=False)
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        path.unlink()  # it is there as long as it is mapped: a worker that is killed leaves no gigabytes behind
        self._blocks[index] = _Block(mapped, ids_N.astype(np.uint64))

    def count(self) -> int:
        return sum(int(b.active_N.sum()) for b in self._blocks.values())

    def draw(self, key: int, m: int, *, weighted: bool) -> Candidates:
        # An exponential race: the m smallest of Exp(1)/w are a weighted draw without replacement
        # (Efraimidis and Spirakis 2006), and each worker can run its own heat.
        def race(b: _Block) -> np.ndarray:
            weight_N = np.where(b.d2_N > SAME, b.d2_N, 0) if weighted else np.ones(len(b.ids_N))
            with np.errstate(divide="ignore"):
                return -np.log(uniform(key, b.ids_N)) / np.where(b.active_N, weight_N, 0)

        return self._best(race, m)

    def farthest(self, m: int) -> Candidates:
        return self._best(lambda b: np.where(b.active_N, -b.d2_N.astype(np.float64), np.inf), m)

    def _best(self, score, m: int) -> Candidates:
        parts: list[Candidates] = []
        for b in self._blocks.values():
            keys_N = score(b)
            top = np.flatnonzero(np.isfinite(keys_N))
            if len(top) > m:  # everything up to the m-th key, so that ties are settled by id and not by partition()
                top = top[keys_N[top] <= np.partition(keys_N[top], m - 1)[m - 1]]
            parts.append(Candidates(keys_N[top], b.ids_N[top], np.asarray(b.points_ND[top])))
        return Candidates.best(parts, m)

    def absorb(self, seeds_MD: np.ndarray, first: int) -> None:
        seeds = self._on_device(seeds_MD)
        for b in self._blocks.values():
            ids_N, d2_N = nearest(b.points_ND, seeds)
            closer = np.ones(len(ids_N), bool) if first == 0 else d2_N < b.d2_N
            b.label_N[closer] = ids_N[closer] + first
            b.d2_N[closer] = d2_N[closer]

    def assign(self, centroids_KD: np.ndarray) -> Moments:
        k, d = centroids_KD.shape
        centroids = self._on_device(centroids_KD)
        sums = torch.zeros(k, d, dtype=torch.float64)
        counts = np.zeros(k, np.int64)
        inertia: dict[int, float] = {}
        for index, b in self._blocks.items():
            b.label_N, b.d2_N = nearest(b.points_ND, centroids)
            label_N, x_ND, d2_N = b.label_N[b.active_N], b.points_ND[b.active_N], b.d2_N[b.active_N]
            sums.index_add_(0, torch.from_numpy(label_N), torch.from_numpy(np.asarray(x_ND, dtype=np.float64)))
            counts += np.bincount(label_N, minlength=k)
            inertia[index] = float(d2_N.sum(dtype=np.float64))
        return Moments(sums.numpy(), counts, inertia)

    def thin(self, key: int, share_K: np.ndarray | None) -> None:
        for b in self._blocks.values():
            b.active_N = np.ones(len(b.ids_N), bool) if share_K is None else uniform(key, b.ids_N) < share_K[b.label_N]

    def labels(self) -> dict[int, np.ndarray]:
        """The centroid of every point, by block, after :meth:`assign`."""
        return {index: b.label_N for index, b in self._blocks.items()}

    def _on_device(self, vectors: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.require(vectors, np.float32, "W")).to(self._device)  # torch warns of read-only ones


class _Block:
    def __init__(self, points_ND: np.ndarray, ids_N: np.ndarray) -> None:
        self.points_ND, self.ids_N = points_ND, ids_N
        self.label_N = np.zeros(len(ids_N), np.int32)
        self.d2_N = np.full(len(ids_N), np.inf, np.float32)
        self.active_N = np.ones(len(ids_N), bool)


def prepare(points_ND: np.ndarray, center_D: np.ndarray | None) -> np.ndarray:
    """Points as they are clustered: float16, minus the pool's mean and again of unit length if one is given."""
    if center_D is None:
        return points_ND.astype(np.float16)
    x_ND = points_ND.astype(np.float32) - center_D.astype(np.float32)
    norm_N = np.sqrt((x_ND * x_ND).sum(1, keepdims=True))
    return (x_ND / np.maximum(norm_N, 1e-6)).astype(np.float16)


def mean_of(sums: Iterable[tuple[np.ndarray, int]]) -> np.ndarray:
    """The mean from partial (fp64 sum [D], count) pairs: exact before the one division."""
    parts = list(sums)
    return np.sum([s for s, _ in parts], axis=0) / max(1, sum(n for _, n in parts))
