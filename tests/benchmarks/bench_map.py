"""The report's map: its CPU time and the neighbours it keeps, against t-SNE as one would call it.

    python -m tests.benchmarks.bench_map [--repeats 3]

The demo's embeddings. The baseline is scikit-learn's t-SNE with its own settings but for 500 iterations (the least that
settles), from the same start, after a singular value decomposition. Neighbours kept: the share of an image's 10 nearest
in the embedding that are among its 10 nearest on the map.
"""

import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from pipelines.report import _flat
from siglino_core.device import single_thread
from siglino_core.store import Run
from siglino_core.store.vectors import from_column
from tests.benchmarks.demo import curated
from tests.benchmarks.record import Record, parser

NEIGHBOURS = 10


def usual(x_ND: np.ndarray) -> np.ndarray:
    """The baseline's map, [N, 2]."""
    x_ND = x_ND - x_ND.mean(0)
    _, _, axes = np.linalg.svd(x_ND, full_matrices=False)
    plane = x_ND @ axes[:2].T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tsne = TSNE(init=plane / plane[:, 0].std() * 1e-4, max_iter=500, random_state=0, n_jobs=1)
        return tsne.fit_transform(x_ND @ axes[:50].T)


def nearest(x_ND: np.ndarray) -> np.ndarray:
    return NearestNeighbors(n_neighbors=NEIGHBOURS).fit(x_ND).kneighbors(return_distance=False)


def kept(x_ND: np.ndarray, map_N2: np.ndarray) -> float:
    """Share of the neighbours that stay neighbours."""
    pairs = zip(nearest(x_ND), nearest(map_N2), strict=True)
    return float(np.mean([np.isin(a, b).mean() for a, b in pairs]))


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, repeats=3).parse_args(words)
    if a.tiny:
        a.repeats = 1
    single_thread()
    record = Record.of(__file__, a)
    with curated(("source", "embed"), tiny=a.tiny) as folder:
        stage = Run(str(folder)).stage("embed")
        parts: list[np.ndarray] = []
        for shard in stage.shards():
            with stage.files.parquet(f"{shard['name']}.parquet") as file:
                parts.append(from_column(file.read(["embedding"])["embedding"]))
    x_ND = np.concatenate(parts).astype(np.float32)
    pairs = [(timed(lambda: _flat(x_ND)[0]), timed(lambda: usual(x_ND))) for _ in range(a.repeats)]
    ours, theirs = pairs[0]
    note = f"{ours[0]:.1f} s and {theirs[0]:.1f} s for {len(x_ND):,} images"
    record.ratio("CPU time of the map", "scikit-learn's t-SNE", [o[0] / t[0] for o, t in pairs], "lower", note)
    shares = [kept(x_ND, xy) for _, xy in (ours, theirs)]
    note = f"{shares[0]:.1%} and {shares[1]:.1%}"
    record.ratio("neighbours kept on the map", "scikit-learn's t-SNE", [shares[0] / shares[1]], "higher", note)


if __name__ == "__main__":
    main()
