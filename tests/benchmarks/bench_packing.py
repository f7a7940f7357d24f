"""Packing: padding and balance over ranks against named baselines, and the planner's speed.

    python tests/benchmarks/bench_packing.py [--images 400000] [--ranks 32] [--repeats 5]

Sizes are like the web's (lognormal, deterministic). Baselines: batches of 16 images as they come, padded to their
longest; greedy packs, begun anew when the next image does not fit. FLOPs are siglino-moe-0.3b's. Speed is process time
on one core for all that a step needs: the order, the packs, the match.
"""

import argparse
import statistics
import time
import tracemalloc

import numpy as np

from siglino_core.distillation.packing import Cost, Match, Mixture, PackingConfig, Plan, default_max_images
from siglino_core.distillation.packing.bestfit import best_fit
from siglino_core.models.config import PRESETS
from tests.siglino_core.distillation.packing.measures import greedy, measure, padded_to_longest
from tests.siglino_core.distillation.packing.sizes import NATIVE, SMALL, mixed, web

COST = Cost.of(PRESETS["siglino-moe-0.3b"])


def table(name: str, mixture: Mixture, ranks: int, max_images: int | None = None) -> None:
    tokens_N = 5 + mixture.patches(*mixture.draw(0, np.arange(len(mixture))))
    cap = max_images or default_max_images(4096, float(tokens_N.mean()))
    steps = 64 * (len(best_fit(tokens_N, capacity=4096, max_images=cap)[1]) // (64 * ranks))  # whole windows
    found = {}
    for match in Match:
        plan = Plan(mixture, PackingConfig(packs_per_step=ranks, match=match, max_images=cap), COST)
        found[match] = measure(plan, range(steps), ranks)
    ours = found[Match.NONE]
    unequal = [f"{found[m].token_imbalance:.2%} / {found[m].flop_imbalance:.2%}" for m in Match]
    print(
        f"| {name}, {cap} images | {padded_to_longest(tokens_N, 16):.1%} "
        f"| {greedy(tokens_N, capacity=4096, max_images=cap):.1%} | {ours.padding:.2%} | {' | '.join(unequal)} "
        f"| {ours.images_per_pack:.1f} |",
        flush=True,
    )


def speed(name: str, mixture: Mixture, repeats: int) -> None:
    rates = []
    for _ in range(repeats):
        plan = Plan(mixture, PackingConfig(packs_per_step=400), COST)
        began = time.process_time()
        plan.packs_for(0)
        rates.append(len(mixture) / (time.process_time() - began))
    print(f"planning, {name}: median {statistics.median(rates):,.0f} images/s ({min(rates):,.0f} to {max(rates):,.0f})")


def memory(mixture: Mixture) -> None:
    plan = Plan(mixture, PackingConfig(packs_per_step=400), COST)
    tracemalloc.start()
    plan.packs_for(0)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"memory for a block of {len(mixture):,} images: {peak / 1e6:.0f} MB at most, {kept / 1e6:.0f} MB kept")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("images", 400_000), ("ranks", 32), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    a = parser.parse_args()
    print(
        f"padding, and token / FLOP imbalance over {a.ranks} ranks, capacity 4096\n\n"
        "| sizes, cap | padded to longest | greedy | ours | as they come | shards by cost | global by cost | images |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    table("native <= 768", web(a.images, NATIVE), a.ranks)
    table("mixed 256..768", mixed(a.images), a.ranks)
    table("<= 256", web(a.images, SMALL), a.ranks)
    table("<= 256", web(a.images, SMALL), a.ranks, 16)
    print()
    for name, mixture in (("native", web(1 << 20, NATIVE)), ("mixed", mixed(1 << 20)), ("<= 256", web(1 << 20, SMALL))):
        speed(name, mixture, a.repeats)
    memory(web(1 << 20, NATIVE))


if __name__ == "__main__":
    main()
