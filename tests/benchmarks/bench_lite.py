"""The demo's encoder on a CPU: folded paddings, and memory that is reused, against timm's paddings and glibc's way.

    python -m tests.benchmarks.bench_lite [--images 32] [--repeats 7]

EfficientNet-Lite0 at 224 px in batches of 8 in one thread, CPU time of the process, all ways in turns and all of the
same bits. Both save copies and fresh pages, not arithmetic.
"""

import contextlib
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from siglino_core.device import memory_reused
from siglino_core.encoders import efficientnet_lite, same_padding
from siglino_core.encoders.efficientnet_lite import LITE0
from tests.benchmarks.record import Record, parser

BATCH = 8


def networks() -> tuple[nn.Module, nn.Module]:
    """With folded paddings, and with timm's."""
    folded = efficientnet_lite.network(LITE0)
    fold, same_padding.fold_padding = same_padding.fold_padding, lambda module: None
    try:
        plain = efficientnet_lite.network(LITE0)
    finally:
        same_padding.fold_padding = fold
    return tuple(n.to(memory_format=torch.channels_last) for n in (folded, plain))  # type: ignore[call-overload, return-value]


@torch.inference_mode()
def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, images=32, repeats=7).parse_args(words)
    if a.tiny:
        a.images, a.repeats = BATCH, 1
    torch.set_num_threads(1)
    record, (folded, plain) = Record.of(__file__, a), networks()
    x = torch.rand(BATCH, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    ways = {
        "both": (folded, memory_reused),
        "folded": (folded, contextlib.nullcontext),
        "reused": (plain, memory_reused),
        "neither": (plain, contextlib.nullcontext),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    answers: list[Tensor] = []
    for repeat in range(a.repeats):
        for name in ways if repeat % 2 else reversed(ways):
            network, memory = ways[name]
            with memory():
                network(x)
                began = time.process_time()
                answers += [network(x) for _ in range(a.images // BATCH)][-1:]
                seconds[name].append((time.process_time() - began) / a.images)
    assert all(torch.equal(answers[0], other) for other in answers)
    for name, baseline, ours, theirs in (
        ("paddings folded", "timm's paddings", "folded", "neither"),
        ("memory reused", "glibc's defaults", "reused", "neither"),
        ("both", "neither", "both", "neither"),
    ):
        ratios = [s / t for s, t in zip(seconds[ours], seconds[theirs], strict=True)]
        note = f"{1e3 * min(seconds[ours]):.1f} ms an image at best"
        record.ratio(f"CPU time of Lite0, {name}", baseline, ratios, "lower", note)


if __name__ == "__main__":
    main()
