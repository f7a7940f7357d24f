"""The student's hot paths on a CPU against named baselines, in one run: ratios and their spread.

    python tests/benchmarks/bench_student.py [--tokens 4096] [--repeats 5] [--threads 1]

Forward and backward, fp32:
- a mixture of 28 experts, 6 per token, 768 wide, hidden 384, against one dense SwiGLU layer of equal active FLOPs
  (hidden 6 x 384);
- attention over a pack of images of 256^2 to 768^2 pixels, each on its own, against the batch padded to the longest,
  12 heads of 64.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from siglino_core.models.attention import packed_attention
from siglino_core.models.encoder import FeedForward
from siglino_core.models.moe import MixtureOfExperts
from siglino_core.models.segments import Segments

Work = Callable[[], Tensor]


def timed(work: Work) -> float:
    began = time.perf_counter()
    work().backward()
    return time.perf_counter() - began


def compare(name: str, ours: Work, baseline: Work, repeats: int) -> None:
    timed(ours), timed(baseline)
    pairs = [(timed(ours), timed(baseline)) for _ in range(repeats)]
    ratios = sorted(a / b for a, b in pairs)
    seconds = [statistics.median(side) for side in zip(*pairs, strict=True)]
    print(
        f"{name}: median {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}, {repeats} pairs; "
        f"medians {seconds[0]:.3f} s and {seconds[1]:.3f} s)"
    )


def mixture(tokens: int, repeats: int) -> None:
    torch.manual_seed(0)
    moe, dense = MixtureOfExperts(768, 384, 28, 6), FeedForward(768, 6 * 384)
    for p in moe.parameters():
        torch.nn.init.normal_(p, std=0.02)
    x = torch.randn(tokens, 768, requires_grad=True)
    compare("mixture / dense layer", lambda: moe(x).sum(), lambda: dense(x).sum(), repeats)


def attention(tokens: int, repeats: int) -> None:
    rng = random.Random(0)
    lengths: list[int] = []
    while len(lengths) < 64:
        side = rng.choice([256, 256, 384, 512, 768])
        n = 5 + (side // 16) * (round(side * rng.uniform(0.6, 1.0)) // 16)
        if sum(lengths) + n > tokens:
            break
        lengths.append(n)
    segments = Segments.of(lengths)
    q, k, v = (torch.randn(segments.total, 12, 64, requires_grad=True) for _ in range(3))
    sink = torch.zeros(12, requires_grad=True)
    longest = max(lengths)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]

    def padded() -> Tensor:
        q_BHND, k_BHND, v_BHND = (
            torch.nn.utils.rnn.pad_sequence(list(x.split(lengths)), batch_first=True).transpose(1, 2) for x in (q, k, v)
        )
        out = torch.nn.functional.scaled_dot_product_attention(q_BHND, k_BHND, v_BHND, attn_mask=mask[:, None, None])
        return out.transpose(1, 2)[mask].sum()

    print(f"attention over {len(lengths)} images of {min(lengths)} to {longest} tokens, {segments.total} in all")
    compare("padded batch / image by image", padded, lambda: packed_attention(q, k, v, segments).sum(), repeats)
    compare(
        "padded batch / image by image with sinks",
        padded,
        lambda: packed_attention(q, k, v, segments, sink).sum(),
        repeats,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("tokens", 4096), ("repeats", 5), ("threads", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {a.threads} threads")
    mixture(a.tokens, a.repeats)
    attention(a.tokens, a.repeats)


if __name__ == "__main__":
    main()
