"""What hashing every file before it is read, and the leases, cost of a curation's CPU time.

    python -m tests.benchmarks.bench_safety [--repeats 3] [--images 20000]

`curate`, in one process, with `runtime.check_inputs=1` and leases as they are, over the same without either: on the
demo, and on a pool of many small JPEGs, synthetic, embedded by their mean colours, so that nothing but the pipeline's
own work is beside the hashing: no real network makes the share larger. Runs alternate; each is a new run.
"""

import contextlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from flows.cli import main as siglino
from siglino_core.encoders import Card, Preprocess
from siglino_core.encoders.encoder import Encoder
from siglino_core.store.lease import Lease
from tests.benchmarks.demo import SMALL, sliced
from tests.benchmarks.record import Record, parser

SIDE, GRID, DIM, HALF = 96, 4, 48, (0.5, 0.5, 0.5)


class MeanColours(torch.nn.Module):
    """A network without weights: the mean colours of 16 fields."""

    def forward(self, x_B3HW: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x_B3HW, GRID).flatten(1)


def mean_colours(device: str, dtype: torch.dtype) -> Encoder:
    """The encoder that the synthetic pool is embedded by."""
    card = Card(name="mean_colours", dim=DIM, identity="1", preprocess=Preprocess(size=SIDE, fit="squash"))
    return Encoder(MeanColours(), card, mean=HALF, std=HALF, device=device, dtype=dtype)


def pool(folder: Path, images: int) -> Path:
    """A Parquet pool of JPEGs, each a blurred random picture of 128 x 96 pixels."""
    rng = np.random.default_rng(0)
    rows: list[bytes] = []
    for _ in range(images):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((128, 96), Image.Resampling.BICUBIC).save(buffer, "jpeg", quality=90)
        rows.append(buffer.getvalue())
    pq.write_table(pa.table({"image": pa.array(rows, pa.binary())}), folder / "pool.parquet", row_group_size=1024)
    return folder / "pool.parquet"


@contextlib.contextmanager
def without_leases() -> Iterator[None]:
    class Free:
        def require(self) -> None: ...
        def release(self) -> None: ...

    take: Any = Lease.take
    Lease.take = classmethod(lambda *_: Free())  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        Lease.take = take


def seconds(words: Sequence[str], run: Path, *, safe: bool) -> float:
    """CPU time of a curation from nothing."""
    shutil.rmtree(run, ignore_errors=True)
    with contextlib.ExitStack() as stack:
        if not safe:
            stack.enter_context(without_leases())
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        began = time.process_time()
        code = siglino(["curate", *words, f"run={run}", "runtime.runner=local", f"runtime.check_inputs={int(safe)}"])
        assert code == 0
        return time.process_time() - began


def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, repeats=3, images=20_000).parse_args(words)
    record = Record.of(__file__, a)
    os.environ["SIGLINO_MODULES"] = "tests.benchmarks"
    encoder = "tests.benchmarks.bench_safety:mean_colours"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        demo, many = ["experiment=demo"], ["cluster.num_clusters=[1000,100,10]", "sample.target_size=5000"]
        images = a.images
        if a.tiny:
            a.repeats, images, many = 1, 100, list(SMALL)
            demo += [f"source.uri={sliced(folder)}", *SMALL]
        many += [f"source.uri={pool(folder, images)}", f"embed.encoder={encoder}", "report.map_points=0"]
        many += ["sample.near_duplicate=1"]
        for what, chosen in (("the demo", demo), (f"{images:,} synthetic images", many)):
            seconds(chosen, folder / "run", safe=True)  # imports, caches
            pairs = [(seconds(chosen, folder / "run", safe=True), seconds(chosen, folder / "run", safe=False))]
            for i in range(1, a.repeats):  # the first of a pair is each in turn
                took = {safe: seconds(chosen, folder / "run", safe=safe) for safe in (bool(i % 2), not i % 2)}
                pairs.append((took[True], took[False]))
            note, ratios = f"{pairs[0][0]:.1f} s and {pairs[0][1]:.1f} s", [s / u for s, u in pairs]
            record.ratio(f"CPU time of curate on {what}", "without hashes and leases", ratios, "lower", note)


if __name__ == "__main__":
    main()
