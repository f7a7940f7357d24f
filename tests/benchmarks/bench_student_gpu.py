"""The student on a CUDA device: tokens a second, the share of the device's peak, and the grouped product's backends.

    python -m tests.benchmarks.bench_student_gpu [--model siglino-moe-0.3b] [--tokens 16384] [--repeats 10]

bf16, forward and backward, packs of images of 256^2 pixels and of 256^2 to 768^2, by attention backend; then one
mixture layer's grouped product through torch and through our Triton kernel, in turns.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from siglino_core.models import PRESETS, SigLino
from siglino_core.models.attention import Backend
from siglino_core.models.grouped import grouped_linear
from siglino_core.models.size import forward_flops
from tests.benchmarks.record import Record, parser

PEAK = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "A10G": 70e12, "L4": 121e12}  # dense bf16, from data sheets


def timed(work: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


def shapes(kind: str, tokens: int) -> list[tuple[int, int]]:
    rng, out, used = random.Random(0), [], 0
    while True:
        h = rng.choice([16, 24, 32, 48]) if kind == "mixed" else 16
        w = max(8, round(h * rng.uniform(0.6, 1.0))) if kind == "mixed" else 16
        used += 5 + h * w
        if used > tokens:
            return out
        out.append((h, w))


def student(name: str, kind: str, backend: Backend, tokens: int, repeats: int, peak: float | None) -> None:
    torch.manual_seed(0)
    model = SigLino(PRESETS[name], backend).cuda().bfloat16().train()
    images = shapes(kind, tokens)
    layout = model.layout(images, total=tokens)
    patches = torch.randn(len(layout.patch_N), 768, device="cuda").bfloat16()

    def step() -> None:
        out = model(patches, layout)
        sum(x.float().square().mean() for x in (*out.patches.values(), *out.summaries.values())).backward()

    try:
        for _ in range(3):
            timed(step)
    except (RuntimeError, ValueError) as e:
        print(f"{name} {kind} {backend}: {type(e).__name__}: {str(e).splitlines()[0]}")
        return
    seconds = sorted(timed(step) for _ in range(repeats))
    median = statistics.median(seconds)
    flops = 3 * sum(forward_flops(PRESETS[name], n) for n in layout.segments.lengths)
    share = f", {flops / median / peak:.1%} of peak" if peak else ""
    used = layout.segments.used
    slowest, fastest = used / seconds[-1], used / seconds[0]
    print(
        f"{name} {kind} {backend}: {used / median:,.0f} tokens/s ({slowest:,.0f} to {fastest:,.0f}, {repeats} "
        f"steps of {used:,} tokens, {len(images)} images){share}, "
        f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GB"
    )
    torch.cuda.reset_peak_memory_stats()


def grouped(record: Record, tokens: int, repeats: int) -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    rows = tokens * 6
    x = torch.randn(rows, 768, device="cuda", generator=generator).bfloat16().requires_grad_()
    w = torch.randn(28, 384, 768, device="cuda", generator=generator).bfloat16().requires_grad_()
    cuts = torch.randint(0, rows, (27,), device="cuda", generator=generator).sort().values
    offsets = torch.cat([cuts, cuts.new_tensor([rows])]).int()

    grad = torch.randn(rows, 384, device="cuda", generator=generator).bfloat16()

    def work(backend: str) -> Callable[[], None]:
        return lambda: grouped_linear(x, w, offsets, backend).backward(grad)  # type: ignore[arg-type]

    for backend in ("torch", "triton", "loop"):
        timed(work(backend))
    for baseline in ("torch", "loop"):
        ratios = [timed(work("triton")) / timed(work(baseline)) for _ in range(repeats)]
        record.ratio("time of a grouped product in Triton", baseline, ratios, "lower")


def main(words: Sequence[str] | None = None) -> None:
    given = parser(__doc__, tokens=16384, repeats=10)
    given.add_argument("--model", default="siglino-moe-0.3b", choices=list(PRESETS))
    a = given.parse_args(words)
    if not torch.cuda.is_available():
        print("skipped: no CUDA device")
        return
    if a.tiny:
        a.tokens, a.repeats, a.model = 2048, 1, "siglino-nano"
    device = torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, {device}")
    peak = next((flops for name, flops in PEAK.items() if name in device), None)
    for kind in ("256", "mixed"):
        for backend in ("flash", "varlen", "flex"):
            student(a.model, kind, backend, a.tokens, a.repeats, peak)
    grouped(Record.of(__file__, a), a.tokens, a.repeats)


if __name__ == "__main__":
    main()
