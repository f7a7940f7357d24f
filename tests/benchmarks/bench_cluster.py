"""The clustering's hot paths against named baselines, one thread, in one run: ratios and their spread.

    python -m tests.benchmarks.bench_cluster [--points 100000] [--width 256] [--clusters 2000] [--repeats 5]

- one exact Lloyd iteration (assignment and exact fp64 sums) against the bare matrix product that it cannot do without,
  and against one iteration of faiss.Kmeans;
- seeding in doubling rounds against scikit-learn's greedy k-means++.

Points are a synthetic mixture of Gaussians on the unit sphere.
"""

import time
from collections.abc import Callable, Sequence

import faiss
import numpy as np
import torch
from sklearn.cluster import kmeans_plusplus

from siglino_core.config import Seeding
from siglino_core.curation.clustering.kmeans import Recipe, steps
from siglino_core.curation.clustering.points import Blocks
from siglino_core.device import single_thread
from tests.benchmarks.record import Record, parser


def mixture(n: int, d: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((500, d), dtype=np.float32)
    x = centres[rng.integers(0, 500, n)] + rng.standard_normal((n, d), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, points=100_000, width=256, clusters=2000, repeats=5).parse_args(words)
    if a.tiny:
        a.points, a.width, a.clusters, a.repeats = 4000, 32, 100, 1
    record = Record.of(__file__, a)
    single_thread()
    faiss.omp_set_num_threads(1)
    x = mixture(a.points, a.width)
    blocks = Blocks()
    for i, part in enumerate(np.array_split(np.arange(a.points), 16)):
        blocks.add(i, x[part], part.astype(np.uint64))
    centroids = x[np.random.default_rng(1).choice(a.points, a.clusters, replace=False)]
    points, transposed = torch.from_numpy(x), torch.from_numpy(centroids.T.copy())

    def product() -> None:
        for start in range(0, a.points, 8192):
            points[start : start + 8192] @ transposed

    def lloyd_faiss() -> None:
        kmeans = faiss.Kmeans(a.width, a.clusters, niter=1, max_points_per_centroid=1 << 30, seed=1)
        kmeans.train(x, init_centroids=centroids)

    small = Blocks()  # scikit-learn's is quadratic in practice: a fifth of the points, a fourth of the centroids
    small.add(0, x[: a.points // 5], np.arange(a.points // 5, dtype=np.uint64))
    recipe = Recipe(
        level=1,
        k=a.clusters // 4,
        seeding=Seeding.D2_ROUNDS,
        iterations=0,
        resampling=0,
        resampling_iterations=0,
        seed=0,
    )
    compare(record, "Lloyd iteration", "bare fp32 product", lambda: blocks.assign(centroids), product, a.repeats)
    compare(
        record, "Lloyd iteration", "faiss.Kmeans iteration", lambda: blocks.assign(centroids), lloyd_faiss, a.repeats
    )
    compare(
        record,
        "seeding in rounds",
        "scikit-learn's kmeans_plusplus",
        lambda: list(steps(small, recipe)),
        lambda: kmeans_plusplus(x[: a.points // 5], a.clusters // 4, random_state=0),
        1,
    )


def compare(
    record: Record,
    name: str,
    against: str,
    ours: Callable[[], object],
    baseline: Callable[[], object],
    repeats: int,
) -> None:
    ratios = [timed(ours) / timed(baseline) for _ in range(repeats)]
    record.ratio(f"CPU time, {name}", against, ratios, "lower")


if __name__ == "__main__":
    main()
