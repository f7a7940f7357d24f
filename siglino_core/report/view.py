"""The report's numbers as the template shows them: rows of text and finished charts, one function a section."""

from typing import Any

import numpy as np

from siglino_core.report import charts
from siglino_core.report.charts import Series
from siglino_core.report.headline import judge
from siglino_core.report.learning import how, points, sentence, verdict
from siglino_core.report.measures import as_counts, random_counts, summary
from siglino_core.report.model import (
    Balance,
    CurationReport,
    Funnel,
    Interval,
    LabelCounts,
    Learning,
    LevelSizes,
    Metric,
)
from siglino_core.report.numbers import decimals, number, percent, plural
from siglino_core.report.words import clean, reason_class, reason_name
from siglino_core.statistics.diversity import effective_number

MAX_LEVELS, MAX_ROWS, MAX_METRICS, MAX_PARTS = 8, 12, 8, 12
LEARNED = {"probe": "probe accuracy", "probe_rare": "of the rarer half of the labels"}
FEW_CLUSTERS = 40  # up to here every cluster gets its own bar


def top_parts(parts: dict[str, int]) -> list[tuple[str, int]]:
    """The commonest first; what is beyond MAX_PARTS as one row."""
    ordered = sorted(parts.items(), key=lambda p: (-p[1], p[0]))
    rest = sum(c for _, c in ordered[MAX_PARTS:])
    rows = [(reason_name(n), c) for n, c in ordered[:MAX_PARTS]]
    return rows + ([(f"{len(ordered) - MAX_PARTS:,} other reasons", rest)] if rest else [])


def funnel(counts: Funnel) -> dict[str, Any]:
    whole = max(1, counts.pool)
    left = counts.pool
    rows = [_funnel_row("pool", "f-pool", 0, counts.pool, whole, {})]
    for drop in counts.drops[:MAX_ROWS]:
        row = _funnel_row(
            reason_name(drop.reason), reason_class(drop.reason), left - drop.count, left, whole, dict(drop.parts)
        )
        rows.append(row | {"drop": True})
        left -= drop.count
    rows.append(_funnel_row("kept", "r-kept", 0, counts.kept, whole, {}) | {"total": True})
    return {"rows": rows, "unaccounted": left - counts.kept}


def _funnel_row(name: str, css: str, low: int, high: int, whole: int, parts: dict[str, int]) -> dict[str, Any]:
    return {
        "name": name,
        "bar": charts.span_bar(low / whole, high / whole, css),
        "count": number(high - low),
        "share": percent((high - low) / whole),
        "parts": [(n, number(c)) for n, c in top_parts(parts)],
        "drop": False,
        "total": False,
    }


def _say(metric: Metric, value: float, places: int) -> str:
    return percent(value, 1) if metric.share else number(value, places)


def balance(comparison: Balance) -> dict[str, Any]:
    metrics = comparison.metrics[:MAX_METRICS]
    rows = comparison.rows[:MAX_ROWS]
    places = {m.key: decimals(r.values[m.key].mean for r in rows if m.key in r.values) for m in metrics}

    def cell(metric: Metric, value: Interval | None) -> dict[str, str]:
        if value is None:
            return {"mean": "–", "range": ""}
        p = places[metric.key]
        span = ""
        if value.low is not None and value.high is not None:
            span = f"{_say(metric, value.low, p)} to {_say(metric, value.high, p)}"
        return {"mean": _say(metric, value.mean, p), "range": span}

    table = [
        {
            "name": clean(r.name, 80),
            "ours": r.role == "ours",
            "n": max((v.n for v in r.values.values()), default=0),
            "cells": [cell(m, r.values.get(m.key)) for m in metrics],
        }
        for r in rows
    ]
    judged = judge(comparison)
    figure = None
    if judged:
        metric = judged[1]
        css = ("random", "dedup", "pool")
        dots, other = [], 0
        for r in rows:
            value = r.values.get(metric.key)
            if value is None:
                continue
            said = cell(metric, value)
            dots.append((r.name, "ours" if r.role == "ours" else css[min(other, 2)], value, said["mean"]))
            other += r.role != "ours"
        alt = f"{clean(metric.title, 60)}: " + "; ".join(f"{clean(n, 60)} {said}" for n, _, _, said in dots)
        figure = charts.intervals(dots, clean(metric.title, 60), alt, share=metric.share)
    return {
        "metrics": [
            {
                "title": clean(m.title, 60),
                "doc": clean(m.doc, 300),
                "better": {"higher": "higher is better", "lower": "lower is better", "": ""}[m.better],
            }
            for m in metrics
        ],
        "rows": table,
        "figure": figure,
        "size": number(comparison.sample_size),
        "varies": clean(comparison.varies, 400),
    }


def learning(measured: Learning) -> dict[str, Any]:
    """A row each of random and ours, and what their difference says."""
    rows = [("random", measured.random), ("ours", measured.curated)]
    cells = {name: [percent(values[key].mean) for key in LEARNED] for name, values in rows}
    return {
        "verdict": verdict(measured.difference["probe"]),
        "sentence": sentence(measured.difference["probe"]).capitalize(),
        "heads": list(LEARNED.values()),
        "rows": [{"name": name, "ours": name == "ours", "cells": found} for name, found in cells.items()],
        "difference": [points(measured.difference[key]) for key in LEARNED],
        "how": how(measured),
    }


def labels(counts: LabelCounts) -> dict[str, Any]:
    pool, kept = as_counts(counts.pool), as_counts(counts.kept)
    drawn = random_counts(pool, int(kept.sum()))
    series = [
        Series(name="random sample of the same size", css="random", values=drawn),
        Series(name="ours", css="ours", values=kept),
    ]
    facts = {n: (int((c > 0).sum()), effective_number(c)) for n, c in (("random", drawn), ("ours", kept))}
    alt = (
        "Share of images by label, most frequent label first, log axis. "
        f"Random: {facts['random'][0]} labels, effective {facts['random'][1]:.1f}; "
        f"ours: {facts['ours'][0]} labels, effective {facts['ours'][1]:.1f}."
    )
    order = np.argsort(-pool, kind="stable")
    commonest = [i for i in order[:8] if pool[i]]
    return {
        "count": number(int((pool > 0).sum())),
        "covered": number(facts["ours"][0]),
        "covered_random": number(facts["random"][0]),
        "figure": charts.rank_curves(series, "label, most frequent first", alt, "share of images (log)"),
        "commonest": [
            {
                "name": clean(counts.names[i], 48) or "(empty)",
                "pool": number(int(pool[i])),
                "pool_share": percent(int(pool[i]) / max(1, int(pool.sum()))),
                "kept": number(int(kept[i])),
                "kept_share": percent(int(kept[i]) / max(1, int(kept.sum()))),
            }
            for i in commonest
        ],
    }


def level(sizes: LevelSizes) -> dict[str, Any]:
    pool, kept = as_counts(sizes.pool), as_counts(sizes.kept)
    drawn = random_counts(pool, int(kept.sum()))
    sets = (("pool", "pool", pool), ("random sample", "random", drawn), ("ours", "ours", kept))
    rows = []
    for name, css, counts in sets:
        s = summary(counts)
        rows.append(
            {
                "name": name,
                "css": css,
                "cells": [
                    number(int(s["filled"])),
                    number(float(s["effective"]), decimals([s["effective"]])),
                    *(number(s[k], 0 if s[k] == int(s[k]) else 1) for k in ("min", "q25", "median", "q75", "max")),
                    percent(s["largest_share"]),
                ],
            }
        )
    shares = {css: c / max(1, c.sum()) for _, css, c in sets}
    alt = f"Level {sizes.level}: " + "; ".join(f"{r['name']} effective number {r['cells'][1]}" for r in rows)
    shown = [Series(name=n, css=css, values=c) for n, css, c in sets]
    if pool.size <= FEW_CLUSTERS:
        order = np.argsort(-pool, kind="stable")
        bars = [Series(name=n, css=css, values=shares[css][order]) for n, css, _ in sets if css != "random"]
        first = charts.paired_bars([""] * pool.size, bars, "clusters, largest first", alt, "share of the set")
    else:
        two = [s for s in shown if s.css != "random"]
        first = charts.histogram(two, "images in a cluster (0, 1, 2–3, 4–7, …)", alt, "share of clusters")
    curve = charts.rank_curves(shown[1:], "cluster, largest first", alt, "share of the set (log)")
    return {
        "level": sizes.level,
        "clusters": plural(int(pool.size), "cluster"),
        "rows": rows,
        "figure": first,
        "every": pool.size <= FEW_CLUSTERS,
        "curve": curve,
    }


def numbers(report: CurationReport) -> dict[str, Any]:
    """The sections that hold no images."""
    return {
        "funnel": funnel(report.funnel),
        "balance": balance(report.balance) if report.balance else None,
        "labels": labels(report.labels) if report.labels else None,
        "learning": learning(report.learning) if report.learning else None,
        "levels": [level(sizes) for sizes in report.levels[:MAX_LEVELS]],
    }
