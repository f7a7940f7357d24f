"""Extraction of features through Ray against a plain torch loop: images a second and CPU time an image.

    python -m tests.benchmarks.bench_evaluate [--images 4000] [--repeats 3] [--workers 2]

As `bench_embed`, with its pool and its network, but as `siglino evaluate` extracts: the network by the evaluation's
door, pixels as its authors have them, Parquet of features. The plain loop is what one would write by hand: N
processes, each reading pieces of the data set, decoding and computing batch by batch in one thread, and saving an
array. What more images cost counts, so that start-up and imports cancel out. With --tiny one process stands in for Ray.
"""

import multiprocessing
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.evaluate.extract import Wanted, extract, identity_of
from pipelines.evaluate.see import BATCH
from pipelines.evaluate.subjects import Subject
from pipelines.support.runtime import silent
from siglino_core.config import Config, Runner, build
from siglino_core.device import memory_reused
from siglino_core.evaluation.data.open import open_split
from siglino_core.evaluation.network.load import describe_network, load_network
from siglino_core.store import Run
from tests.benchmarks.bench_embed import ENCODER, SPAWN, marginal, pool, weights
from tests.benchmarks.record import Record, parser


def by_ray(config: Config) -> None:
    """The extraction as the product runs it."""
    (model,), (data,) = config.evaluate.models, config.evaluate.datasets
    subject = Subject(name="network", model=model, described=describe_network(model))
    split = open_split(data, rows=config.evaluate.rows_per_shard)
    identity = identity_of(subject.described, split, dense=False, precision="float32")
    names = ("pool", "test")
    wanted = Wanted(identity=identity, described=subject.described, split=split, names=names, dense=False)
    found = extract(config, Run(config.run), subject, [wanted], silent)
    assert found[wanted.folder].rows > 0


@memory_reused()
def _plain_worker(config: Config, first: int) -> None:
    from siglino_core.device import single_thread
    from siglino_core.evaluation.data.sample import EvalSample
    from siglino_core.images.decode import decode

    single_thread()
    (model,), (data,) = config.evaluate.models, config.evaluate.datasets
    network = load_network(model, device="cpu")
    split = open_split(data, rows=config.evaluate.rows_per_shard)
    (view,) = network.views
    for number, unit in list(enumerate(split.units()))[first :: config.runtime.workers]:
        waiting: list[np.ndarray] = []
        vectors: list[np.ndarray] = []
        for sample in split.read(unit):
            assert isinstance(sample, EvalSample)
            waiting.append(network.pixels(decode(sample.data, max_pixels=1 << 27, max_bytes=1 << 27)))
            if len(waiting) == BATCH:
                vectors.append(network(waiting).summaries[view])
                waiting = []
        if waiting:
            vectors.append(network(waiting).summaries[view])
        np.save(f"{config.run}-plain-{number}.npy", np.concatenate(vectors))


def by_hand(config: Config) -> None:
    workers = config.runtime.workers
    if workers == 1:
        _plain_worker(config, 0)
        return
    processes = [SPAWN.Process(target=_plain_worker, args=(config, i)) for i in range(workers)]
    for p in processes:
        p.start()
    for p in processes:
        p.join()
        assert p.exitcode == 0


def prepared(folder: Path, images: int, workers: int) -> tuple[Config, int]:
    """A config that extracts features of a pool of so many images."""
    pool(folder / "pool", images)
    model = {"name": "network", "network": ENCODER, "weights": str(weights(folder)), "fit": "own"}
    config = build(
        Config,
        {
            "run": str(folder / "run"),
            "evaluate": {
                "models": [model],
                "datasets": [{"name": "pool", "uri": str(folder / "pool")}],
                "rows_per_shard": max(16, min(512, images // (4 * workers))),
            },
            "runtime": {"runner": "local", "workers": workers, "cpus": workers, "device": "cpu"},
        },
    )
    return config, images


def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, images=4000, repeats=3, workers=2).parse_args(words)
    runner = Runner.LOCAL if a.tiny else Runner.RAY
    if a.tiny:
        a.images, a.repeats, a.workers = 64, 1, 1
        multiprocessing.set_forkserver_preload(["timm", __spec__.name])  # imports are paid for once
    record = Record.of(__file__, a)
    rates: list[float] = []
    cpu: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        sizes = [prepared(Path(name) / str(n), n, a.workers) for n in (a.images, 3 * a.images)]
        sizes = [(replace(config, runtime=replace(config.runtime, runner=runner)), rows) for config, rows in sizes]
        for pair in range(a.repeats):
            sides = (by_ray, by_hand) if pair % 2 else (by_hand, by_ray)
            more = {side: marginal(side, sizes, a.tiny, "features") for side in sides}
            ray, plain = more[by_ray], more[by_hand]
            print(
                f"pair {pair + 1}: {ray.images / ray.seconds:.0f} and {plain.images / plain.seconds:.0f} images/s, "
                f"{1e3 * ray.cpu_seconds / ray.images:.2f} and {1e3 * plain.cpu_seconds / plain.images:.2f} ms of CPU "
                "an image, Ray and plain",
                flush=True,
            )
            rates.append(plain.seconds / ray.seconds)
            cpu.append(ray.cpu_seconds / plain.cpu_seconds)
    record.ratio("features on Ray, images a second", "plain loop", rates, "higher")
    record.ratio("features on Ray, CPU time an image", "plain loop", cpu, "lower")


if __name__ == "__main__":
    main()
