"""How balanced the demo's sample is, by recipe: the README's table, over five seeds of clustering and sampling.

    python -m tests.benchmarks.bench_balance [--run RUN] [--seeds 5] [RECIPE ...]

RUN must hold a finished `source` and `embed` of the demo; left out, it is runs/demo, or made. They are copied aside,
and each recipe and seed runs `cluster` and `sample` on them in one process. Unlike the table of `siglino inspect`,
whose draws share one clustering, all that a seed decides is drawn anew. RECIPE: only those whose names begin so;
the published one, whose seeds take minutes each, runs only if it is named.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flows.config import compose_config
from pipelines import cluster, sample
from siglino_core.distillation.curated.index import training_shards
from siglino_core.statistics.diversity import DEDUPLICATED, RANDOM
from siglino_core.statistics.interval import Interval
from siglino_core.store import Run
from tests.benchmarks.demo import SMALL, copied, curated
from tests.benchmarks.record import Record, parser

PUBLISHED = "published (k-means++, 10 iterations, 3 resamplings)"
BEFORE = ("source", "embed")
HIERARCHY = ("sample.quota=hierarchical", "sample.pick=random", "sample.trim=0.0")
RECIPES: dict[str, tuple[str, ...]] = {
    "ours (radius, coverage, trim 1%)": (),
    "ours, hierarchical quotas": ("sample.quota=hierarchical",),
    "ours, hierarchical quotas, members at random": HIERARCHY,
    "ours, 2 Lloyd iterations": ("cluster.iterations=2",),
    "ours, centred": ("cluster.center=true",),
    "n/4, n/16, n/64, no iterations, hierarchical, random": (*HIERARCHY, "cluster.num_clusters=[720,180,45]"),
    PUBLISHED: ("experiment=published",),
}
METRICS = ("effective_labels", "rare_half_share")


def main(words: Sequence[str] | None = None) -> None:
    made = parser(__doc__, seeds=5)
    made.add_argument("--run", type=Path)
    made.add_argument("recipes", nargs="*")
    a = made.parse_intermixed_args(words)
    if a.tiny:
        a.seeds, a.recipes = 2, a.recipes or ["ours ("]
    record = Record.of(__file__, a)
    recipes = {n: r for n, r in RECIPES.items() if (n.startswith(tuple(a.recipes)) if a.recipes else n != PUBLISHED)}
    with curated(BEFORE, tiny=a.tiny, run=a.run) as origin, tempfile.TemporaryDirectory() as folder:
        copied(origin, BEFORE, Path(folder))
        for name, settings in recipes.items():
            _table(record, folder, name, [*settings, *(SMALL if a.tiny else ())], a.seeds)


def _table(record: Record, folder: str, name: str, settings: Sequence[str], seeds: int) -> None:
    """A recipe's line, and before that of the demo's own the baselines'."""
    values: list[list[float]] = []
    junk: list[float] = []
    facts: dict = {}
    for seed in range(seeds):
        experiment = [w for w in settings if w.startswith("experiment=")] or ["experiment=demo"]
        rest = [w for w in settings if not w.startswith("experiment=")]
        config = compose_config([*experiment, *rest, f'run="{folder}"', f"seed={seed}", "runtime.runner=local"])
        run = Run(folder)
        cluster.run(config, run, redo="always")
        facts = sample.run(config, run, redo="always").manifest.facts
        values.append([_first(run, facts, m) for m in METRICS])
        junk.append(_junk(run))
    labels, rare = (Interval.of(v) for v in zip(*values, strict=True))
    if not RECIPES[name]:  # the baselines' seeds are five draws of labels, from the pool alone
        for row in (RANDOM, DEDUPLICATED):
            print(_line(row, *(Interval(**facts["balance"][row][m]) for m in METRICS)), flush=True)
    print(_line(name, labels, rare), f"junk {_say(Interval.of(junk), 100)}%", flush=True)
    baseline = facts["balance"][DEDUPLICATED]["effective_labels"]["mean"]
    ratios = [v[0] / baseline for v in values]
    record.ratio(f"effective labels, {name}", "duplicates removed, then random", ratios, "higher")


def _first(run: Run, facts: dict, metric: str) -> float:
    """A metric of the sample itself, from its own label counts."""
    pool, kept = (np.array(c) for c in zip(*facts["labels"].values(), strict=True))
    if metric == "effective_labels":
        p = kept[kept > 0] / kept.sum()
        return float(np.exp(-(p * np.log(p)).sum()))
    rare = np.argsort(pool, kind="stable")[: len(pool) // 2]
    return float(kept[rare].sum() / kept.sum())


def _junk(run: Run) -> float:
    """The share of planted junk in the sample."""
    junk = total = 0
    sample = run.stage("sample")
    for name in training_shards(sample, sample.require()):
        with sample.files.parquet(name) as file:
            keys = file.read(columns=["source_key"])["source_key"].to_pylist()
        junk += sum(k.startswith("junk/") for k in keys)
        total += len(keys)
    return junk / total


def _say(interval: Interval, scale: float = 1.0) -> str:
    half = interval.high - interval.mean if interval.high is not None else 0.0
    return f"{interval.mean * scale:.1f} ± {half * scale:.1f}"


def _line(name: str, labels: Interval, rare: Interval) -> str:
    return f"{name:<55} effective labels {_say(labels)}  rare half {_say(rare, 100)}% "


if __name__ == "__main__":
    main()
