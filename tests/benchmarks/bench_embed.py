"""embed through Ray Data against a plain torch loop: images a second, same model, batch and threads, in one run.

    python tests/benchmarks/bench_embed.py [--images 20000] [--repeats 3]

The plain loop is what one would write by hand: N processes (as many as Ray has encoders), each reading source shards,
decoding and encoding batch by batch in one thread. Start-up (Ray, imports, weights) is reported apart: both sides are
timed from the first committed shard of each worker on, and in all.
"""

import argparse
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines import embed, source
from siglino_core.config import Config, Runner, build
from siglino_core.store import Run

ENCODER = "timm:mobilenetv3_small_050"


def pool(folder: Path, images: int) -> None:
    """Synthetic JPEGs of photographic entropy, 256 x 192, about 15 kB, each different."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

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


def by_ray(config: Config) -> dict[str, float]:
    """The stage as the product runs it; seconds in all, and images a second once it is under way."""
    shutil.rmtree(f"{config.run}/embed", ignore_errors=True)
    marks: list[tuple[float, int]] = []
    began = time.perf_counter()
    result = embed.run(
        config, Run(config.run), lambda s, done, total, note="": marks.append((time.perf_counter(), done))
    )
    return _rates(began, marks, result.manifest.rows)


def _rates(began: float, marks: list[tuple[float, int]], rows: int) -> dict[str, float]:
    committed = [(t, done) for t, done in marks if done > 0]
    first, last, total = committed[0], committed[-1], committed[-1][1]
    steady = rows * (last[1] - first[1]) / total / (last[0] - first[0])
    return {"in all": last[0] - began, "start-up": last[0] - began - rows / steady, "images/s": steady}


def _plain_worker(config: Config, names: list[str], marks: multiprocessing.Queue) -> None:
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
        marks.put(time.perf_counter())


def by_hand(config: Config, rows: int, workers: int) -> dict[str, float]:
    names = [s["name"] for s in Run(config.run).stage("source").shards() if s["name"].startswith("part-")]
    context = multiprocessing.get_context("spawn")
    marks = context.Queue()
    began = time.perf_counter()
    processes = [context.Process(target=_plain_worker, args=(config, names[i::workers], marks)) for i in range(workers)]
    for p in processes:
        p.start()
    times = sorted(marks.get() for _ in names)
    for p in processes:
        p.join()
    return _rates(began, [(t, i + 1) for i, t in enumerate(times)], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pool(folder / "pool", arguments.images)
        config = build(
            Config,
            {
                "run": str(folder / "run"),
                "source": {"uri": str(folder / "pool"), "rows_per_shard": 512},
                "embed": {"encoder": ENCODER, "weights": str(weights(folder)), "image_size": 224},
                "runtime": {"runner": "local", "workers": arguments.workers},
            },
        )
        rows = source.run(config, Run(config.run)).manifest.rows
        config = replace(config, runtime=replace(config.runtime, runner=Runner.RAY))
        ratios = []
        for i in range(arguments.repeats):
            plain, ray = by_hand(config, rows, arguments.workers), by_ray(config)
            ratios.append(ray["images/s"] / plain["images/s"])
            print(json.dumps({"repeat": i, "images": rows, "plain": plain, "ray": ray, "ratio": ratios[-1]}))
        print(
            f"embed: Ray Data / plain loop, images a second once under way: median {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} pairs)"
        )


if __name__ == "__main__":
    main()
