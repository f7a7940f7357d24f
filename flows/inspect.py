"""`siglino inspect RUN`: what a person wants to know of a run, from its manifests and a few columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.headlines import grounding, headlines
from flows.screen import say
from flows.stale import stale, warning
from pipelines.support.summary import duckdb_line, learning
from siglino_core.errors import StoreError
from siglino_core.foreign import printable, word
from siglino_core.report.learning import points, sentence, verdict
from siglino_core.report.numbers import size
from siglino_core.statistics.diversity import SAMPLES, effective_number
from siglino_core.store import Manifest, Run

CURATION = ("source", "embed", "cluster", "sample", "report")
DISTILLATION = ("targets", "train", "export", "evaluate")  # shown once one of them has begun
GROUNDING = ("expressions", "ground", "answers")  # the same
QUANTILES = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)


def inspect(url: str, console: Console) -> None:
    """Print the run's state.

    Raises:
        StoreError: there is no run there.
    """
    run = Run(url)
    names = (*CURATION, *DISTILLATION, *GROUNDING)
    manifests = {name: run.stage(name).manifest() for name in names}
    begun = {name: run.stage(name).shards() for name in names if manifests[name] is None}
    if not any(manifests.values()) and not any(begun.values()):
        start = f"siglino curate experiment=demo {word(f'run={url}')}"
        raise StoreError(f"{url}: there is no run here. Start one with: {start}")
    for later in (DISTILLATION, GROUNDING):
        if not any(manifests[name] or begun[name] for name in later):
            manifests = {name: manifest for name, manifest in manifests.items() if name not in later}
    moved = stale(manifests)
    former = {name: warning(run.url, name, moved) for name in moved}
    _stages(run, manifests, moved, begun, console)
    _rejects(manifests, console)
    sample = manifests["sample"]
    if sample is not None:
        _mark(former, "sample", console)
        _reasons(sample, console)
        say(console, *(f"Warning: {warning}" for warning in sample.facts.get("warnings", ())))
        _balance(sample, console)
        _learning(sample, console)
        _cluster_sizes(run, sample, console)
    _distillation(manifests, former, console)
    _grounding(manifests, former, console)
    _features(run, console)
    if sample is not None:
        say(console, "", "Further, in DuckDB:")
        say(console, *duckdb_line(url).split("\n"), style="dim")
    if manifests["report"] is not None:
        say(console, "", f"Report: {url}/report/curation.html")
    if manifests.get("export") is not None:
        say(console, f"Student: {url}/export/student")
    if manifests.get("evaluate") is not None:
        say(console, f"Evaluation: {url}/evaluate/evaluation.html")
    if manifests.get("answers") is not None:
        say(console, f"Grounding: {url}/answers/grounding.html")


def losses(train: Manifest, console: Console) -> None:
    """The training's losses per teacher and kind, of its first steps and its last, if its manifest has them."""
    losses_by_end = train.facts.get("losses") or {}
    first, last = losses_by_end.get("first", {}), losses_by_end.get("last", {})
    rows = [[key, f"{first[key]:.4g}", f"{last[key]:.4g}"] for key in first if key in last]
    if rows:
        _table(console, "Losses", ["teacher and kind", "at the start", "at the end"], rows)


def _table(console: Console, title: str, columns: list[str], rows: list[list[str]], left: int = 1) -> None:
    table = Table(box=None, header_style="dim", padding=(0, 2), title_justify="left", title_style="bold")
    table.title = Text(printable(title))
    for i, name in enumerate(columns):
        table.add_column(Text(printable(name)), justify="left" if i < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    console.print()
    console.print(table)


def _mark(former: Mapping[str, str], stage: str, console: Console) -> None:
    """Before what a stage tells: that it is of what was there before, if it is stale."""
    if stage in former:
        say(console, "", former[stage])


def _stages(
    run: Run,
    manifests: dict[str, Manifest | None],
    moved: Mapping[str, Sequence[str]],
    begun: dict[str, list[dict]],
    console: Console,
) -> None:
    rows: list[list[str]] = []
    for name, m in manifests.items():
        if m is not None:
            stored = size(sum(entry[0] for entry in m.files.values()))
            state = f"stale: {', '.join(moved[name])} changed since" if name in moved else "done"
            rows.append([name, state, f"{m.rows:,}", f"{m.shards:,}", stored, f"{m.wall_seconds:.1f}", m.digest[:12]])
        elif begun.get(name):
            done = len(run.stage(name).commits())
            rows.append([name, "begun", "", f"{done:,}/{len(begun[name]):,}", "", "", ""])
        else:
            rows.append([name, "not begun", "", "", "", "", ""])
    _table(console, f"Run {run.url}", ["stage", "state", "rows", "shards", "stored", "seconds", "digest"], rows, left=2)


def _rejects(manifests: dict[str, Manifest | None], console: Console) -> None:
    rows = [
        [name, reason, f"{count:,}"]
        for name, m in manifests.items()
        if m
        for reason, count in sorted(m.rejects.items())
    ]
    if rows:
        _table(console, "Rejects", ["stage", "reason", "images"], rows, left=2)


def _reasons(sample: Manifest, console: Console) -> None:
    reasons = sample.facts["reasons"]
    total = max(1, sum(reasons.values()))
    rows = [[r, f"{n:,}", f"{n / total:.1%}"] for r, n in sorted(reasons.items(), key=lambda kv: -kv[1])]
    _table(console, "Sample, by reason", ["reason", "images", "share"], [*rows, ["in all", f"{total:,}", ""]])


def _balance(sample: Manifest, console: Console) -> None:
    balance = sample.facts["balance"]
    if not balance:
        console.print("\nBalance: the pool has no labels, so only clusters can be compared.")
        return
    rows = []
    n = 0
    for name in SAMPLES:
        metrics = balance[name]
        cells = [name]
        for metric, value in metrics.items():
            n = max(n, value["n"])
            scale, unit = (100, "%") if metric.endswith("share") else (1, "")
            spread = "" if value["high"] is None else f" ± {(value['high'] - value['mean']) * scale:.1f}"
            cells.append(f"{value['mean'] * scale:.1f}{unit}{spread}")  # without a draw there is no spread
        rows.append(cells)
    names = [m.replace("_", " ") for m in next(iter(balance.values()))]
    _table(console, f"Balance: samples of one size, mean and 95% interval over {n} draws", ["sample", *names], rows)


def _learning(sample: Manifest, console: Console) -> None:
    """What a probe learns from the sample and from a random one, or why that is not known."""
    found = learning(sample.facts)
    if found is None:
        if why := sample.facts.get("learning", {}).get("why"):
            console.print(f"\nLearning: not measured, {why}.")
        return
    rows = []
    for name, values in (("random", found.random), ("curated", found.curated)):
        rows.append([name, *(f"{100 * values[key].mean:.1f}%" for key in ("probe", "probe_rare"))])
    rows.append(["difference", *(points(found.difference[key]) for key in ("probe", "probe_rare"))])
    title = f"Learning: probes of {found.train:,} images, mean and 95% interval over {found.splits} splits"
    _table(console, title, ["trained on", "accuracy", "of the rare half"], rows)
    if verdict(found.difference["probe"]) != "better":
        say(console, f"{sentence(found.difference['probe'])}.".capitalize())


def _cluster_sizes(run: Run, sample: Manifest, console: Console) -> None:
    table = run.stage("sample").table("clusters/part-00000.parquet", sample)
    rows = []
    for level in range(1, sample.facts["levels"] + 1):
        ids = table[f"level_{level}"].to_numpy()
        for what in ("size", "kept"):
            sizes = np.bincount(ids, table[what].to_numpy())
            effective = effective_number(sizes)
            cells = [f"{q:,.0f}" for q in np.quantile(sizes, QUANTILES)]
            rows.append(
                [str(level), "pool" if what == "size" else "kept", f"{len(sizes):,}", *cells, f"{effective:,.0f}"]
            )
    heads = ["min", "10%", "median", "90%", "99%", "max", "effective"]
    _table(console, "Cluster sizes, in images", ["level", "of", "clusters", *heads], rows, left=2)


def _distillation(manifests: dict[str, Manifest | None], former: Mapping[str, str], console: Console) -> None:
    """What the distillation's manifests state in single values, and the losses."""
    rows = [
        [name, key.replace("_", " "), _said(value)]
        for name in DISTILLATION
        if name != "evaluate" and (m := manifests.get(name)) is not None
        for key, value in m.facts.items()
        if key != "losses" and isinstance(value, str | int | float | list) and _said(value)
    ]
    if rows:
        _table(console, "Distillation", ["stage", "fact", "value"], rows, left=3)
    train, evaluate = manifests.get("train"), manifests.get("evaluate")
    if train is not None:
        _mark(former, "train", console)
        losses(train, console)
    if evaluate is not None:
        _mark(former, "evaluate", console)
        headlines(evaluate.facts, console)


def _grounding(manifests: dict[str, Manifest | None], former: Mapping[str, str], console: Console) -> None:
    """The sets of images with expressions, the fine-tuning's losses, and what its answers are worth."""
    expressions, ground, answers = (manifests.get(name) for name in GROUNDING)
    if expressions is not None:
        counts = ("images", "expressions", "instances", "absent")
        rows = [[s["which"], s["name"], *(f"{s[key]:,}" for key in counts)] for s in expressions.facts["sets"]]
        _table(console, "Images with expressions", ["to", "set", *counts], rows, left=2)
        left_out = [
            [s["which"], s["name"], reason, f"{count:,}"]
            for s in expressions.facts["sets"]
            for reason, count in s["left_out"].items()
        ]
        if left_out:
            _table(console, "Of these left out", ["of", "set", "reason", "count"], left_out, left=3)
    if ground is not None:
        _mark(former, "ground", console)
        losses(ground, console)
    if answers is not None:
        _mark(former, "answers", console)
        grounding(answers.facts, console)


def _features(run: Run, console: Console) -> None:
    """What was extracted, a line a network and split; it stays, and whatever asks for the same finds it."""
    rows = []
    for name in run.features():
        m = run.stage(name).manifest()
        if m is None:
            done, shards = len(run.stage(name).commits()), len(run.stage(name).shards())
            rows.append(["", "", "begun", "", f"{done:,}/{shards:,}", "", name])
            continue
        stored = size(sum(entry[0] for entry in m.files.values()))
        of = [str(m.facts.get(key, "")) for key in ("network", "dataset", "split")]
        rows.append([*of, f"{m.rows:,}", f"{m.shards:,}", stored, name])
    if rows:
        heads = ["network", "data set", "split", "rows", "shards", "stored", "folder"]
        _table(console, "Features", heads, sorted(rows), left=3)


def _said(value: Any) -> str:
    """A fact for people; nothing for what is no single value nor a short list."""
    if isinstance(value, list):
        names = [str(v.get("name", "") if isinstance(v, dict) else v) for v in value]
        return ", ".join(names) if all(names) and len(names) <= 8 else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if isinstance(value, float) else value
