"""embed through Ray against a plain torch loop: images a second and CPU time an image, by what more images cost.

    python -m tests.benchmarks.bench_embed [--images 4000] [--repeats 3] [--workers 2]

The plain loop is what one would write by hand: N processes (as many as Ray has workers), each reading source shards,
decoding and encoding batch by batch in one thread; same model, batch and threads. Both sides embed a pool of --images
and one three times as large, each in a process of its own, from its start to its end. What the larger one takes more is
the price of twice --images: start-up, imports and shutting down are in both and cancel out. CPU time is that of the
process and all that it starts, Ray's daemons too, sampled from /proc (`tree.py`). Both sides reuse a network's memory.
With --tiny one process stands in for Ray.
"""

import io
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipelines import embed, source
from siglino_core.config import Config, Runner, build
from siglino_core.device import memory_reused
from siglino_core.store import Run
from tests.benchmarks.record import Record, parser
from tests.benchmarks.tree import Tree

ENCODER = "timm:mobilenetv3_small_050"
SPAWN, FORK = (multiprocessing.get_context(way) for way in ("spawn", "forkserver"))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a side took for a pool, or what it takes for more images."""

    seconds: float
    cpu_seconds: float
    images: int

    def beyond(self, small: "Cost") -> "Cost":
        """What this one took more than a smaller one."""
        return Cost(
            seconds=self.seconds - small.seconds,
            cpu_seconds=self.cpu_seconds - small.cpu_seconds,
            images=self.images - small.images,
        )


def pool(folder: Path, images: int) -> None:
    """Synthetic JPEGs of photographic entropy, 256 x 192, about 15 kB, each different."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    schema = pa.schema([("key", pa.string()), ("image", pa.binary())])
    with pq.ParquetWriter(folder / "pool.parquet", schema) as out:
        for start in range(0, images, 500):
            rows = []
            for i in range(start, min(start + 500, images)):
                small = rng.integers(0, 256, (24, 32, 3), np.uint8)
                picture = Image.fromarray(small).resize((256, 192), Image.Resampling.BICUBIC)
                data = io.BytesIO()
                picture.save(data, "JPEG", quality=85)
                rows.append({"key": f"{i:06d}", "image": data.getvalue()})
            out.write_table(pa.Table.from_pylist(rows, schema))


def weights(folder: Path) -> Path:
    """Random weights: the speed is that of trained ones."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = timm.create_model(ENCODER.partition(":")[2], pretrained=False, num_classes=0)
    path = folder / "weights.safetensors"
    save_file(model.state_dict(), path)
    return path


def by_ray(config: Config) -> None:
    """The stage as the product runs it."""
    embed.run(config, Run(config.run))


@memory_reused()
def _plain_worker(config: Config, names: list[str]) -> None:
    from siglino_core.device import single_thread
    from siglino_core.encoders import Spec
    from siglino_core.images.decode import decode
    from siglino_core.networks import load_encoder
    from siglino_core.pools.image_rows import image_rows

    single_thread()
    encoder = load_encoder(Spec.of(config.embed))
    batch = config.embed.batch_size or encoder.device.batch_size
    stage = Run(config.run).stage("source")
    for name in names:
        with stage.files.parquet(f"{name}.parquet") as file:
            rows = np.arange(file.metadata.num_rows)
        waiting, vectors = [], []
        for _, image in image_rows(stage, name, rows):
            picture = decode(image["bytes"], max_pixels=1 << 27, max_bytes=1 << 27, draft=encoder.card.pixels.size)
            waiting.append(encoder.card.pixels(picture))
            if len(waiting) == batch:
                vectors.append(encoder.encode(np.stack(waiting)))
                waiting = []
        if waiting:
            vectors.append(encoder.encode(np.stack(waiting)))
        np.save(f"{config.run}/plain-{name}.npy", np.concatenate(vectors).astype(np.float16))


def by_hand(config: Config) -> None:
    names = [s["name"] for s in Run(config.run).stage("source").shards() if s["name"].startswith("part-")]
    workers = config.runtime.workers
    if workers == 1:
        _plain_worker(config, names)
        return
    processes = [SPAWN.Process(target=_plain_worker, args=(config, names[i::workers])) for i in range(workers)]
    for p in processes:
        p.start()
    for p in processes:
        p.join()
        assert p.exitcode == 0


def measured(
    side: Callable[[Config], None], config: Config, images: int, tiny: bool, made: str
) -> tuple[Cost, dict[str, float]]:
    """What making ``made`` of the pool costs from start to end, and the CPU time of each program."""
    shutil.rmtree(f"{config.run}/{made}", ignore_errors=True)
    began = time.perf_counter()
    process = (FORK if tiny else SPAWN).Process(target=side, args=(config,))
    process.start()
    assert process.pid is not None
    tree = Tree(process.pid)
    process.join()
    seconds, programs = time.perf_counter() - began, tree.close()
    assert process.exitcode == 0
    return Cost(seconds=seconds, cpu_seconds=sum(programs.values()), images=images), programs


def marginal(side: Callable[[Config], None], sizes: list[tuple[Config, int]], tiny: bool, made: str = "embed") -> Cost:
    """What the larger pool costs more; prints both.

    Args:
        made: folder of the run that is made anew each time.
    """
    costs: list[Cost] = []
    for config, images in sizes:
        cost, programs = measured(side, config, images, tiny, made)
        costs.append(cost)
        parts = {name: round(s, 1) for name, s in sorted(programs.items(), key=lambda p: -p[1]) if s >= 0.5}
        print(
            f"  {side.__name__}, {images:,} images: {cost.seconds:.1f} s, {cost.cpu_seconds:.1f} s of CPU; {parts}",
            flush=True,
        )
    return costs[1].beyond(costs[0])


def prepared(folder: Path, images: int, workers: int) -> tuple[Config, int]:
    """A run whose source is finished, and its images."""
    pool(folder / "pool", images)
    config = build(
        Config,
        {
            "run": str(folder / "run"),
            "source": {"uri": str(folder / "pool"), "rows_per_shard": max(16, min(512, images // (4 * workers)))},
            "embed": {"encoder": ENCODER, "weights": str(weights(folder)), "image_size": 224},
            "runtime": {"runner": "local", "workers": workers, "cpus": workers},
        },
    )
    rows = source.run(config, Run(config.run)).manifest.rows
    return config, rows


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
            more = {side: marginal(side, sizes, a.tiny) for side in sides}
            ray, plain = more[by_ray], more[by_hand]
            print(
                f"pair {pair + 1}: {ray.images / ray.seconds:.0f} and {plain.images / plain.seconds:.0f} images/s, "
                f"{1e3 * ray.cpu_seconds / ray.images:.2f} and {1e3 * plain.cpu_seconds / plain.images:.2f} ms of CPU "
                "an image, Ray and plain",
                flush=True,
            )
            rates.append(plain.seconds / ray.seconds)
            cpu.append(ray.cpu_seconds / plain.cpu_seconds)
    record.ratio("embed on Ray, images a second", "plain loop", rates, "higher")
    record.ratio("embed on Ray, CPU time an image", "plain loop", cpu, "lower")


if __name__ == "__main__":
    main()
