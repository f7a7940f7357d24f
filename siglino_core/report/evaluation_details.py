"""The rest of an evaluation's page: sizes, clusters, the gate's checks, and what is not measured."""

from collections.abc import Sequence
from typing import Any

from siglino_core.config.evaluate import Task
from siglino_core.report.evaluation_charts import COLOURS, Range, curves, interval_bar, scatter
from siglino_core.report.evaluation_view import Caps
from siglino_core.report.evaluation_words import Plain, said, task_name
from siglino_core.report.numbers import number, percent
from siglino_core.report.words import clean

MAX_CURVES, MAX_DOTS = 24, 400


def resolution(found: Sequence[Plain]) -> list[dict[str, Any]]:
    """A chart a data set, task and metric: one line a view."""
    places: dict[tuple[str, str, str], list[Plain]] = {}
    for c in found:
        places.setdefault((c["task"], c["dataset"], c["metric"]), []).append(c)
    charts = []
    for (task, dataset, metric), own in sorted(places.items())[:MAX_CURVES]:
        own = own[: len(COLOURS)]
        series = [[(p["side"], p["value"], p["low"], p["high"]) for p in c["points"]] for c in own]
        names = [clean(f"{c['name']} {c['view']}", 60) for c in own]
        title = f"{task_name(task)} on {clean(dataset, 60)}"
        told = "; ".join(
            f"{n}: " + ", ".join(f"{a} {percent(v)}" for a, v, _, _ in s) for n, s in zip(names, series, strict=True)
        )
        charts.append(
            {
                "title": title,
                "legend": list(zip(COLOURS, names, strict=False)),
                "figure": curves(series, f"{title} by size of the images. {told}", "side in pixels", clean(metric, 40)),
                "left_out": len(places[task, dataset, metric]) - len(own),
            }
        )
    return charts


def clusters(found: Sequence[Plain], caps: Caps) -> list[dict[str, Any]]:
    """The curation's clusters where the metric is lowest and highest, beside the loss of training."""
    tables = []
    for c in found[:MAX_CURVES]:
        known = sorted(
            (r for r in c["rows"] if r["cluster"] is not None), key=lambda r: (r["metric"]["value"], r["cluster"])
        )
        none = [r for r in c["rows"] if r["cluster"] is None]
        worst = known[: caps.clusters]
        best = known[len(worst) :][-(caps.clusters // 2) :] if caps.clusters > 1 else []
        shown = [*worst, *best, *none]
        over = Range.of([r["metric"][k] for r in shown for k in ("value", "low", "high")])
        dots = [(r["last_loss"], r["metric"]["value"]) for r in known if r["last_loss"] is not None]
        title = f"{task_name(c['task'])} on {clean(c['dataset'], 60)}, {clean(c['network'], 40)} {clean(c['view'], 40)}"
        alt = f"{title}: {clean(c['metric'], 40)} against the training's last loss, over {len(dots):,} clusters"
        tables.append(
            {
                "title": title,
                "metric": clean(c["metric"], 40),
                "rows": [_cluster_row(r, over) for r in shown],
                "losses": bool(dots),
                "between": len(known) - len(worst) - len(best),
                "clusters": number(len(known)),
                "figure": scatter(dots[:MAX_DOTS], alt, "last loss", clean(c["metric"], 40)) if len(dots) > 2 else None,
            }
        )
    return tables


def _cluster_row(r: Plain, over: Range) -> dict[str, Any]:
    m = r["metric"]
    losses = [number(v, 3) if v is not None else "–" for v in (r["first_loss"], r["last_loss"])]
    return {
        "name": "in no cluster" if r["cluster"] is None else number(r["cluster"]),
        "images": number(r["images"]),
        **said(m["value"], m["low"], m["high"]),
        "bar": interval_bar(m["value"], m["low"], m["high"], over, "ours"),
        "trained": number(r["trained"]),
        "losses": losses,
    }


def checks(gate: Sequence[Plain] | None, caps: Caps) -> dict[str, Any] | None:
    """The gate's checks, those that did not pass first."""
    if gate is None:
        return None
    order = sorted(gate, key=lambda c: (c["passed"], c["skipped"]))
    failed = sum(not c["passed"] for c in gate)
    return {
        "passed": not failed,
        "failed": number(failed),
        "all": number(len(gate)),
        "more": max(0, len(order) - caps.checks),
        "rows": [
            {
                "outcome": "skipped" if c["skipped"] else "passed" if c["passed"] else "failed",
                "name": clean(c["name"], 200),
                "words": clean(c["words"], 300),
            }
            for c in order[: caps.checks]
        ],
    }


def not_measured(results: Sequence[Plain], more: Sequence[str]) -> list[str]:
    """What the page's numbers do not say, in sentences."""
    done = {r["task"] for r in results}
    tasks = [task_name(t).lower() for t in Task if t not in done]
    words = [
        "The intervals tell how much a number depends on which samples are in the test set. They do not tell how much "
        "another training of the same recipe, with another seed, would differ.",
        "Labels and captions are taken to be right; errors in them lower every row alike, but not by the same amount.",
        "Whether a network saw the test images in its training is known only of what was checked for the student; of "
        "the teachers' own training data nothing is known here.",
        "A data set stands for itself. How the network does on other kinds of images, on groups of people, or under "
        "attack is not measured, nor are speed and memory.",
    ]
    if tasks:
        words.insert(0, f"Not run: {', '.join(tasks)}.")
    return [*words, *(clean(w, 400) for w in more)]
