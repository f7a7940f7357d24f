"""The student's hot paths on a CPU against named baselines, in one run: ratios and their spread.

    python -m tests.benchmarks.bench_student [--tokens 4096] [--repeats 5]

Forward and backward, fp32:
- a mixture of 28 experts, 6 per token, 768 wide, hidden 384, against one dense SwiGLU layer of equal active FLOPs
  (hidden 6 x 384);
- attention over a pack of images of 256^2 to 768^2 pixels, each on its own, against the batch padded to the longest,
  12 heads of 64.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from siglino_core.models.attention import packed_attention
from siglino_core.models.encoder import FeedForward
from siglino_core.models.moe import MixtureOfExperts
from siglino_core.models.segments import Segments
from tests.benchmarks.record import Record, parser

Work = Callable[[], Tensor]


def timed(work: Work) -> float:
    began = time.process_time()
    work().backward()
    return time.process_time() - began


def compare(record: Record, name: str, against: str, ours: Work, baseline: Work, repeats: int) -> None:
    timed(ours), timed(baseline)
    pairs = [(timed(ours), timed(baseline)) for _ in range(repeats)]
    seconds = [statistics.median(side) for side in zip(*pairs, strict=True)]
    note = f"medians {seconds[0]:.3f} s and {seconds[1]:.3f} s"
    record.ratio(name, against, [a / b for a, b in pairs], "lower", note)


def mixture(record: Record, tokens: int, repeats: int) -> None:
    torch.manual_seed(0)
    moe, dense = MixtureOfExperts(768, 384, 28, 6), FeedForward(768, 6 * 384)
    for p in moe.parameters():
        torch.nn.init.normal_(p, std=0.02)
    x = torch.randn(tokens, 768, requires_grad=True)
    compare(
        record,
        "CPU time of a mixture",
        "dense layer of equal active FLOPs",
        lambda: moe(x).sum(),
        lambda: dense(x).sum(),
        repeats,
    )


def attention(record: Record, tokens: int, repeats: int) -> None:
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
    for name, used in (
        ("CPU time of attention over a pack", None),
        ("CPU time of attention over a pack, with sinks", sink),
    ):

        def packed(used: Tensor | None = used) -> Tensor:
            return packed_attention(q, k, v, segments, used).sum()

        compare(record, name, "batch padded to the longest, without sinks", packed, padded, repeats)


def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, tokens=4096, repeats=5).parse_args(words)
    if a.tiny:
        a.tokens, a.repeats = 2000, 1
    record = Record.of(__file__, a)
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, one thread")
    mixture(record, a.tokens, a.repeats)
    attention(record, a.tokens, a.repeats)


if __name__ == "__main__":
    main()
