"""Packing: padding and waiting over ranks against named baselines, what a step holds, and the planner's speed.

    python -m tests.benchmarks.bench_packing [--images 400000] [--ranks 32] [--repeats 5]

Sizes are like the web's (lognormal, deterministic). Baselines: batches of 16 images as they come, padded to their
longest; greedy packs, begun anew when the next image does not fit; first fit of falling sizes over the same look-ahead
of 256 images, of which the emptiest pack's wait for the next 256. FLOPs are siglino-moe-0.3b's. Waiting is 1 - mean /
max of the ranks' FLOPs in a pass, averaged. Speed is process time on one core for all that a step needs: the order, the
packs, the match.

What a step holds is shown for the parts of the experiment openlvd-high, of two kinds of pool (`high.high`); its
baselines are packs in random order, and packs sorted by cost over 64 steps and dealt out.
"""

import statistics
import time
import tracemalloc
from collections.abc import Sequence

import numpy as np

from siglino_core.config import Match, PackConfig
from siglino_core.distillation.packing import Mixture, Plan, default_max_images
from siglino_core.distillation.packing.bestfit import best_fit
from siglino_core.distillation.packing.block import make_block
from tests.benchmarks.record import Record, parser
from tests.siglino_core.distillation.packing.high import COST, high, plan_of
from tests.siglino_core.distillation.packing.measures import greedy, measure, padded_to_longest, waiting, weights
from tests.siglino_core.distillation.packing.sizes import NATIVE, SMALL, mixed, web

LOOK_AHEAD = 256


def table(record: Record, name: str, mixture: Mixture, ranks: int, max_images: int | None = None) -> None:
    tokens_N = 5 + mixture.patches(*mixture.draw(0, np.arange(len(mixture))))
    cap = max_images or default_max_images(4096, float(tokens_N.mean()))
    packs = 13 * ranks
    steps = len(best_fit(tokens_N, capacity=4096, max_images=cap)[1]) // packs
    found = {}
    for match in Match:
        plan = Plan(mixture, PackConfig(packs_per_step=packs, match=match, max_images=cap), COST)
        found[match] = measure(plan, range(steps), ranks)
    ours = found[Match.STEP]
    unequal = [f"{found[m].waiting:.2%}" for m in Match]
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


def second_stage(pool: str, images: int, ranks: int, **pack: int) -> None:
    """What steps of openlvd-high's parts hold if packs come as planned, at random, or sorted over 64 steps."""
    plan = plan_of(high(images, pool), **pack)
    packs = plan.config.packs_per_step
    block = make_block(plan.mixture, plan.config, plan.max_images, plan.prefix, 0)
    parts, total = len(plan.mixture.parts), len(block.size_P)
    pack_N = np.repeat(np.arange(total), block.size_P)
    images_PG = np.bincount(pack_N * parts + block.part_N, minlength=parts * total).reshape(total, parts)
    cost_P = COST(block.tokens_P, block.squares_P)
    order_P = np.random.default_rng(0).permutation(total // packs * packs)
    window_P = np.arange(len(order_P)) // (64 * packs)
    orders = {
        "at random": order_P,
        "sorted over 64 steps": order_P[np.lexsort([cost_P[order_P], window_P])],
        "interleaved (ours)": np.arange(len(order_P)),
    }
    padding = 1 - float(block.tokens_N.sum()) / (total * plan.config.capacity)
    for name, order_P in orders.items():
        images_SG = images_PG[order_P].reshape(-1, packs, parts).sum(axis=1)
        share_S = images_SG[:, 0] / images_SG.sum(axis=1) * images_SG.sum() / images_SG[:, 0].sum()
        weight_G, cost_SV = weights(images_SG), cost_P[order_P].reshape(-1, packs)
        waits = [f"{waiting(c, ranks):.2%}" for c in (cost_SV, np.sort(cost_SV, axis=1))]
        print(
            f"| {pool}, {packs} packs of {plan.config.capacity} | {padding:.2%} | {name} | {share_S.min():.2f} to "
            f"{share_S.max():.2f} | {weight_G.max() / weight_G.min():.4f} | {' | '.join(waits)} |",
            flush=True,
        )


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


def speed(record: Record, name: str, mixture: Mixture, repeats: int) -> None:
    rates, shares = [], []
    for _ in range(repeats):
        plan = Plan(mixture, PackConfig(packs_per_step=400), COST)
        began = time.process_time()
        plan.packs_for(0)
        planned = time.process_time()
        part_N, index_N = mixture.draw(0, np.arange(len(mixture)))
        tokens_N = mixture.patches(part_N, index_N) + plan.prefix
        best_fit(tokens_N, capacity=4096, max_images=plan.max_images)
        rates.append(len(mixture) / (planned - began))
        shares.append((planned - began) / (time.process_time() - planned))
    print(f"planning, {name}: median {statistics.median(rates):,.0f} images/s ({min(rates):,.0f} to {max(rates):,.0f})")
    record.ratio(f"time to plan, {name}", "drawing and filling packs alone", shares, "lower")


def ahead(mixture: Mixture) -> None:
    """What a step costs where loaders are three steps ahead of the training."""
    plan = Plan(mixture, PackConfig(packs_per_step=416), COST)
    plan.packs_for(0)
    began = time.process_time()
    for step in range(3, 131):
        plan.packs_for(step, 0, 32)
        plan.sums(step - 3)
    print(f"a step of 416 packs, loaders three ahead: {(time.process_time() - began) / 128 * 1e3:.1f} ms")


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
        f"padding, and waiting in a pass over {a.ranks} ranks, capacity 4096\n\n"
        "| sizes, cap | padded to longest | greedy | first fit, falling | ours | waiting as they come "
        "| sorted in a step | images |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    table(record, "native <= 768", web(a.images, NATIVE), a.ranks)
    table(record, "mixed 256..768", mixed(a.images), a.ranks)
    table(record, "<= 256", web(a.images, SMALL), a.ranks)
    table(record, "<= 256", web(a.images, SMALL), a.ranks, 16)
    print(
        "\n| pool, packs of a step | padding | order | share of 768^2 in a step / mean | weights, max / min | waiting "
        "as they come | sorted in a step |\n|---|---|---|---|---|---|---|"
    )
    few = {"packs_per_step": 13 * a.ranks} if a.tiny else {}
    second_stage("web", a.images, a.ranks, **few)
    second_stage("large", a.images, a.ranks, **few)
    if not a.tiny:
        second_stage("large", a.images, a.ranks, capacity=13_312, packs_per_step=128)
    print()
    for name, mixture in (("native", web(block, NATIVE)), ("mixed", mixed(block)), ("<= 256", web(block, SMALL))):
        speed(record, name, mixture, a.repeats)
    ahead(web(block, NATIVE))
    memory(web(block, NATIVE))


if __name__ == "__main__":
    main()
