"""Packing: padding and balance over ranks against named baselines, and the planner's speed.

    python -m tests.benchmarks.bench_packing [--images 400000] [--ranks 32] [--repeats 5]

Sizes are like the web's (lognormal, deterministic). Baselines: batches of 16 images as they come, padded to their
longest; greedy packs, begun anew when the next image does not fit; first fit of falling sizes over the same look-ahead
of 256 images, of which the emptiest pack's wait for the next 256. FLOPs are siglino-moe-0.3b's. Speed is process time
on one core for all that a step needs: the order, the packs, the match.
"""

import statistics
import time
import tracemalloc
from collections.abc import Sequence

import numpy as np

from siglino_core.config import Match, PackConfig
from siglino_core.distillation.packing import Cost, Mixture, Plan, default_max_images
from siglino_core.distillation.packing.bestfit import best_fit
from siglino_core.models.config import PRESETS
from tests.benchmarks.record import Record, parser
from tests.siglino_core.distillation.packing.measures import greedy, measure, padded_to_longest
from tests.siglino_core.distillation.packing.sizes import NATIVE, SMALL, mixed, web

COST = Cost.of(PRESETS["siglino-moe-0.3b"])
LOOK_AHEAD = 256


def table(record: Record, name: str, mixture: Mixture, ranks: int, max_images: int | None = None) -> None:
    tokens_N = 5 + mixture.patches(*mixture.draw(0, np.arange(len(mixture))))
    cap = max_images or default_max_images(4096, float(tokens_N.mean()))
    steps = 64 * (len(best_fit(tokens_N, capacity=4096, max_images=cap)[1]) // (64 * ranks))  # whole windows
    found = {}
    for match in Match:
        plan = Plan(mixture, PackConfig(packs_per_step=ranks, match=match, max_images=cap), COST)
        found[match] = measure(plan, range(steps), ranks)
    ours = found[Match.NONE]
    unequal = [f"{found[m].token_imbalance:.2%} / {found[m].flop_imbalance:.2%}" for m in Match]
    peers = {
        "batches of 16 padded to the longest": padded_to_longest(tokens_N, 16),
        "greedy packs": greedy(tokens_N, capacity=4096, max_images=cap),
        "first fit of falling sizes": first_fit(tokens_N, capacity=4096, max_images=cap),
    }
    print(
        f"| {name}, {cap} images | {' | '.join(f'{p:.2%}' for p in peers.values())} | {ours.padding:.2%} "
        f"| {' | '.join(unequal)} | {ours.images_per_pack:.1f} |",
        flush=True,
    )
    for peer, padding in peers.items():
        share = (1 - padding) / (1 - ours.padding)
        record.ratio(f"tokens computed on, {name}, {cap} images", peer, [share], "lower")


def first_fit(tokens_N: np.ndarray, *, capacity: int, max_images: int) -> float:
    """Padding if every look-ahead is sorted, largest first, and each image put into the first pack that has room."""
    packs, kept = 0, np.empty(0, np.int64)
    for start in range(0, len(tokens_N), LOOK_AHEAD):
        window = np.sort(np.concatenate([kept, tokens_N[start : start + LOOK_AHEAD]]))[::-1].tolist()
        bins: list[list[int]] = []
        for n in window:
            place = next((b for b in bins if sum(b) + n <= capacity and len(b) < max_images), None)
            if place is None:
                bins.append([n])
            else:
                place.append(n)
        emptiest = min(bins, key=sum)
        packs, kept = packs + len(bins) - 1, np.array(emptiest)
    return 1 - float(tokens_N.sum()) / ((packs + 1) * capacity)


def speed(name: str, mixture: Mixture, repeats: int) -> None:
    rates = []
    for _ in range(repeats):
        plan = Plan(mixture, PackConfig(packs_per_step=400), COST)
        began = time.process_time()
        plan.packs_for(0)
        rates.append(len(mixture) / (time.process_time() - began))
    print(f"planning, {name}: median {statistics.median(rates):,.0f} images/s ({min(rates):,.0f} to {max(rates):,.0f})")


def memory(mixture: Mixture) -> None:
    plan = Plan(mixture, PackConfig(packs_per_step=400), COST)
    tracemalloc.start()
    plan.packs_for(0)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"memory for a block of {len(mixture):,} images: {peak / 1e6:.0f} MB at most, {kept / 1e6:.0f} MB kept")


def main(words: Sequence[str] | None = None) -> None:
    a = parser(__doc__, images=400_000, ranks=32, repeats=5).parse_args(words)
    record, block = Record.of(__file__, a), 1 << 20
    if a.tiny:
        a.images, a.ranks, a.repeats, block = 6000, 1, 1, 1 << 12
    print(
        f"padding, and token / FLOP imbalance over {a.ranks} ranks, capacity 4096\n\n"
        "| sizes, cap | padded to longest | greedy | first fit, falling | ours | as they come | shards by cost "
        "| global by cost | images |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    table(record, "native <= 768", web(a.images, NATIVE), a.ranks)
    table(record, "mixed 256..768", mixed(a.images), a.ranks)
    table(record, "<= 256", web(a.images, SMALL), a.ranks)
    table(record, "<= 256", web(a.images, SMALL), a.ranks, 16)
    print()
    for name, mixture in (("native", web(block, NATIVE)), ("mixed", mixed(block)), ("<= 256", web(block, SMALL))):
        speed(name, mixture, a.repeats)
    memory(web(block, NATIVE))


if __name__ == "__main__":
    main()
