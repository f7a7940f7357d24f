"""How balanced the demo's sample is, by recipe: the README's table, over five seeds of clustering and sampling.

    python tests/benchmarks/bench_balance.py [RUN [RECIPE ...]]

RUN (default runs/demo) must hold a finished `source` and `embed` of the demo; they are copied aside, and each recipe
and seed runs `cluster` and `sample` on them in one process. Unlike the table of `siglino inspect`, whose draws share
one clustering, everything that a seed decides is drawn anew. RECIPE: only those whose names begin so.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from flows.config import compose_config
from pipelines import cluster, sample
from siglino_core.statistics.diversity import DEDUPLICATED, RANDOM
from siglino_core.statistics.interval import Interval
from siglino_core.store import Run

SEEDS = 5
HIERARCHY = ("sample.quota=hierarchical", "sample.pick=random", "sample.trim=0.0")
RECIPES: dict[str, tuple[str, ...]] = {
    "ours (radius, coverage, trim 1%)": (),
    "ours, hierarchical quotas": ("sample.quota=hierarchical",),
    "ours, hierarchical quotas, members at random": HIERARCHY,
    "ours, 2 Lloyd iterations": ("cluster.iterations=2",),
    "ours, centred": ("cluster.center=true",),
    "n/4, n/16, n/64, no iterations, hierarchical, random": (*HIERARCHY, "cluster.num_clusters=[720,180,45]"),
    "published (k-means++, 10 iterations, 3 resamplings)": ("experiment=published",),
}
METRICS = ("effective_labels", "rare_half_share")


def main() -> None:
    origin = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    with tempfile.TemporaryDirectory() as folder:
        for stage in ("source", "embed"):
            shutil.copytree(origin / stage, Path(folder) / stage)
        for name, words in RECIPES.items():
            if not name.startswith(tuple(sys.argv[2:]) or ""):
                continue
            values: list[list[float]] = []
            junk: list[float] = []
            for seed in range(SEEDS):
                experiment = [w for w in words if w.startswith("experiment=")] or ["experiment=demo"]
                rest = [w for w in words if not w.startswith("experiment=")]
                settings = [f'run="{folder}"', f"seed={seed}", "runtime.runner=local"]
                config = compose_config([*experiment, *rest, *settings])
                run = Run(folder)
                cluster.run(config, run, redo="always")
                facts = sample.run(config, run, redo="always").manifest.facts
                if not words and seed == 0:  # the baselines' seeds are five draws of labels: nothing is clustered
                    for row in (RANDOM, DEDUPLICATED):
                        print(_line(row, *(Interval(**facts["balance"][row][m]) for m in METRICS)), flush=True)
                values.append([_first(run, facts, m) for m in METRICS])
                junk.append(_junk(run))
            labels, rare = (Interval.of(v) for v in zip(*values, strict=True))
            print(_line(name, labels, rare), f"junk {_say(Interval.of(junk), 100)}%", flush=True)


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
    for shard in run.stage("source").shards():
        if shard["name"].startswith("part-"):
            with run.stage("sample").files.parquet(f"images/{shard['name']}.parquet") as file:
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
