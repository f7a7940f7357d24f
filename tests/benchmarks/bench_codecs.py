"""Codecs of dense targets: bytes, error, neighbours kept, and how long decoding takes beside bf16.

    python -m tests.benchmarks.bench_codecs [--images 256] [--repeats 7]

Two kinds of features: synthetic ones 1,152 wide (low rank, channels a thousandfold apart, three outlier channels, 256
patches an image), and the teacher `lite`'s (112 wide) of the demo's real images at up to 256^2 pixels. Standardisations
are fitted on a quarter of the images. Decoding is from bytes to fp32 in the teacher's own space, one thread, codecs in
turn, medians; int8 and fp8 pay for one product with the rotation.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

import flows.demo
from siglino_core.config import Stored
from siglino_core.distillation.packing.mixture import grids
from siglino_core.distillation.targets.codec import DENSE, Codec
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.images.decode import decode
from siglino_core.images.patches import to_floats, to_patches
from siglino_core.images.reasons import BadImage
from siglino_core.models.resolution import Resolution
from siglino_core.networks import load_teacher
from tests.benchmarks.record import Record, parser
from tests.siglino_core.distillation.targets.features import errors
from tests.siglino_core.distillation.targets.features import images as synthetic


def real(count: int) -> list[Tensor]:
    """Lite's patches [N, 112] of the demo's labelled images, without copies."""
    teacher, made = load_teacher("lite"), []
    for row in pq.read_table(Path(flows.demo.__file__).with_name("pool.parquet")).to_pylist():
        if len(made) == count:
            break
        if not row["label"] or "~" in row["key"]:
            continue
        try:
            width, height = decode(row["image"], max_pixels=1 << 28, max_bytes=1 << 28).size
        except BadImage:
            continue
        h, w = grids(np.array([height]), np.array([width]), Resolution())[0]
        patches_NC = teacher(to_floats(to_patches(row["image"], (int(h), int(w)))), [(int(h), int(w))]).patches
        assert patches_NC is not None
        made.append(patches_NC)
    return made


def table(record: Record, name: str, features: list[Tensor], repeats: int) -> None:
    dim, counts = features[0].shape[1], [len(f) for f in features]
    phis = PhiS.fit(features[::4])
    codecs = {kind: Codec(kind, dim, phis) for kind in DENSE}
    stored = {kind: [codec.encode(f)[0] for f in features] for kind, codec in codecs.items()}
    decoded = {kind: list(codecs[kind].decode(data).split(counts)) for kind, data in stored.items()}
    batch = len(features) // 16 or 1
    seconds: dict[Stored, list[float]] = {kind: [] for kind in DENSE}
    for _ in range(repeats):
        for kind, codec in codecs.items():
            began = time.process_time()
            for i in range(0, len(features), batch):
                codec.decode(stored[kind][i : i + batch])
            seconds[kind].append(time.process_time() - began)
    reference = statistics.median(seconds[Stored.BF16])
    for kind in DENSE:
        found = errors(decoded[Stored.BF16], decoded[kind])
        size = sum(map(len, stored[kind])) / len(features)
        took = statistics.median(seconds[kind])
        print(
            f"| {name} | {kind.value} | {size:,.0f} | {found.relative_mse:.1e} | {found.knn_agreement:.2%} "
            f"| {reference / took:.2f} ({1e3 * took / len(features):.2f} ms an image) |",
            flush=True,
        )
    for kind in (Stored.INT8, Stored.FP8):
        ratios = [b / a for a, b in zip(seconds[Stored.BF16], seconds[kind], strict=True)]
        record.ratio(f"decoding time of {kind.value}, {name}", "bf16", ratios, "lower")


def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, images=256, repeats=7).parse_args(words)
    if a.tiny:
        a.images, a.repeats = 8, 1
    record = Record.of(__file__, a)
    torch.set_num_threads(1)
    print("| features | codec | bytes an image | relative MSE | neighbours kept | decoding, bf16 = 1 |")
    print("|---|---|---|---|---|---|")
    table(record, "synthetic, 1152", synthetic(a.images, 256, 1152), a.repeats)
    table(record, "lite, 112, real images", real(a.images), a.repeats)


if __name__ == "__main__":
    main()
