"""What recipes are worth on the demo's pool: the README's table, by the judge of samples (`siglino bench curation`).

    python -m tests.benchmarks.bench_balance [--run RUN] [--seeds 5] [--target 270] [RECIPE ...]

RUN must hold a finished `source` and `embed` of the demo; left out, it is runs/demo, or made. Each seed holds out a
quarter of every label, plants junk, and lets every method choose as many images. RECIPE: only those of the other
recipes whose names begin so.
"""

from collections.abc import Sequence
from pathlib import Path

from flows.bench import show
from flows.config import compose_config
from flows.screen import Screen
from pipelines.judge import Asked, judge
from pipelines.judge.from_run import of_run
from pipelines.judge.methods import BASELINES, DEDUPLICATED, RANDOM
from siglino_core.store import Run
from tests.benchmarks.demo import curated
from tests.benchmarks.record import Record, parser

BEFORE = ("source", "embed")
DEMO = "the demo's"
OTHERS: dict[str, tuple[str, ...]] = {
    "coverage": ("recipe=coverage",),
    "hierarchical": ("sample.quota=hierarchical",),
    "2 Lloyd iterations": ("cluster.iterations=2",),
    "centred": ("cluster.center=true",),
}
COMPARED = (("effective_labels", DEDUPLICATED), ("probe", RANDOM), ("probe", DEDUPLICATED))


def main(words: Sequence[str] | None = None) -> None:
    made = parser(__doc__, seeds=5, target=270)
    made.add_argument("--run", type=Path)
    made.add_argument("recipes", nargs="*")
    a = made.parse_intermixed_args(words)
    levels, against = None, list(BASELINES)
    if a.tiny:
        a.seeds, a.target, levels, against, a.recipes = 2, 20, [6, 2], [RANDOM, DEDUPLICATED], ["no other"]
    record = Record.of(__file__, a)
    others = {n: r for n, r in OTHERS.items() if not a.recipes or n.startswith(tuple(a.recipes))}
    base = ("experiment=demo", "runtime.runner=local")
    with curated(BEFORE, tiny=a.tiny, run=a.run) as origin:
        pool = of_run(Run(str(origin)), compose_config([f'run="{origin}"']))
    asked = Asked(
        recipe=DEMO,
        config=compose_config([*base]),
        target=a.target,
        levels=levels,
        seeds=a.seeds,
        against=against,
        others={name: compose_config([*base, *recipe]) for name, recipe in others.items()},
    )
    judgement = judge(pool, asked, lambda seed, name, _: print(f"seed {seed}: {name}", flush=True))
    show(judgement, Screen(width=160))
    for metric, baseline in COMPARED:
        for name in (DEMO, *others):
            pairs = zip(judgement.methods[name].seeds, judgement.methods[baseline].seeds, strict=True)
            ratios = [ours[metric] / theirs[metric] for ours, theirs in pairs if theirs[metric]]
            record.ratio(f"{metric.replace('_', ' ')}, {name}", baseline, ratios or [float("nan")], "higher")


if __name__ == "__main__":
    main()
