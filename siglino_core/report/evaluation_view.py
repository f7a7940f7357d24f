"""An evaluation's leaderboard and its data sets as the page shows them: rows of text and finished pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from siglino_core.report.evaluation_charts import Range, interval_bar
from siglino_core.report.evaluation_words import SANITY_WORDS, Plain, row_name, said, task_name
from siglino_core.report.numbers import number, percent
from siglino_core.report.words import clean

MAX_SECTIONS, MAX_METRICS = 80, 8


@dataclass(frozen=True, kw_only=True)
class Caps:
    """How much of everything is shown; what is beyond is told and is in the folder of results."""

    rows: int
    classes: int
    clusters: int
    checks: int


def _kind(row: Plain, teachers: set[tuple[str, str]]) -> str:
    """The colour of a row: ours, a teacher's, a sanity row's."""
    if row["sanity"]:
        return "pool"
    return "random" if (row["network"], row["view"]) in teachers else "ours"


def leaderboard(board: Plain | None, caps: Caps) -> list[dict[str, Any]]:
    """A table a task: data sets, and averages where the rows have equal data sets."""
    if board is None:
        return []
    tables = []
    for task in board["tasks"]:
        merged = _merged(task["rows"])
        rows = merged[: caps.rows]
        columns = zip(*(r["cells"] for r in rows if not r["sanity"]), strict=True)
        ranges = [_range([c for c in column if c]) for column in columns]
        teachers = {tuple(c["teacher"]) for r in task["rows"] for c in r["cells"] if c and c["teacher"]}
        tables.append(
            {
                "name": task_name(task["task"]),
                "columns": [
                    {
                        "dataset": clean(c["dataset"], 60),
                        "about": clean(f"{c['split']} · {c['metric'].replace('_', ' ')} · {_counts(c['n'])}", 120),
                    }
                    for c in task["columns"]
                ],
                "averaged": any(r["mean"] for r in task["rows"]),
                "rows": [_board_row(r, ranges, teachers) for r in rows],
                "more": len(merged) - len(rows),
            }
        )
    return tables


def _merged(rows: Sequence[Plain]) -> list[Plain]:
    """Rows that say the same, as one: views of one network (often of an untrained one), and sanity rows of one kind."""
    groups: dict[str, list[Plain]] = {}
    for row in rows:
        cells = [c and {k: c[k] for k in ("value", "low", "high", "n", "partial")} for c in row["cells"]]
        whose = "" if row["sanity"] else row["network"]
        key = json.dumps([row["sanity"], whose, cells, row["mean"], row["rank"]], sort_keys=True, default=str)
        groups.setdefault(key, []).append(row)
    return [_one_of(alike) for alike in groups.values()]


def _one_of(alike: Sequence[Plain]) -> Plain:
    first = alike[0]
    if len(alike) == 1:
        return first
    if first["sanity"]:
        return {**first, "network": "", "view": ""}
    bare = [c and {**c, "teacher": None, "retention": None} for c in first["cells"]]
    return {**first, "view": f"({len(alike)} views alike)", "cells": bare}


def _range(cells: Sequence[Plain]) -> Range:
    """Of the bars of a column: over the cells of at least half the best value; what is below has no bar."""
    best = max((c["value"] for c in cells), default=0.0)
    return Range.of([c[k] for c in cells if c["value"] >= best / 2 for k in ("value", "low", "high")])


def _counts(n: Sequence[int]) -> str:
    return f"n = {n[0]:,}" if len(n) == 1 else "several n" if n else "no n"


def _board_row(row: Plain, ranges: Sequence[Range], teachers: set[tuple[str, str]]) -> dict[str, Any]:
    css = _kind(row, teachers)
    cells = []
    for i, c in enumerate(row["cells"]):
        if c is None:
            cells.append(None)
            continue
        over = ranges[i] if i < len(ranges) else Range(low=0, high=1)
        cells.append(
            {
                **said(c["value"], c["low"], c["high"]),
                "bar": interval_bar(c["value"], c["low"], c["high"], over, css)
                if over.low <= c["value"] <= over.high
                else "",
                "kept": f"{percent(c['retention'])} of {clean(c['teacher'][0], 40)}" if c["teacher"] else "",
                "partial": c["partial"],
            }
        )
    mean = said(**{k: row["mean"][k] for k in ("value", "low", "high")}) if row["mean"] else None
    rank = number(row["rank"], 1) if row["rank"] is not None else ""
    return {
        "name": row_name(row),
        "css": css,
        "sanity": bool(row["sanity"]),
        "cells": cells,
        "mean": mean,
        "rank": rank,
    }


def sections(results: Sequence[Plain], caps: Caps) -> list[dict[str, Any]]:
    """A section a task, data set and split: every metric of every row, and what it was made with."""
    places: dict[tuple[str, str, str], list[Plain]] = {}
    for r in results:
        places.setdefault((r["task"], r["dataset"], r["split"]), []).append(r)
    return [_section(i, place, own, caps) for i, (place, own) in enumerate(sorted(places.items())[:MAX_SECTIONS])]


def _section(i: int, place: tuple[str, str, str], results: Sequence[Plain], caps: Caps) -> dict[str, Any]:
    order = sorted(
        results, key=lambda r: list(SANITY_WORDS).index(r["sanity"]) + 1 if r["sanity"] in SANITY_WORDS else 0
    )
    rows = order[: caps.rows]
    names = list(dict.fromkeys(name for r in rows for name in r["metrics"]))[:MAX_METRICS]
    methods = sorted({f"{name}: {m['method']}" for r in rows for name, m in r["metrics"].items() if m["method"]})
    return {
        "id": f"t{i}",
        "title": f"{task_name(place[0])} on {clean(place[1], 60)}",
        "split": clean(place[2], 60),
        "metrics": [clean(name, 60) for name in names],
        "rows": [_section_row(r, names) for r in rows],
        "more": len(results) - len(rows),
        "methods": clean("; ".join(methods), 600),
        "parameters": _alike(rows, "parameters"),
        "preprocessing": _alike([r for r in rows if not r["sanity"]], "preprocessing"),
        "hashes": _alike([r for r in rows if not r["sanity"]], "hashes"),
        "classes": [c for r in rows if not r["sanity"] and (c := _classes(r, caps.classes))],
        "n_classes": max((len(r["per_class"]) for r in rows), default=0),
    }


def _section_row(r: Plain, names: Sequence[str]) -> dict[str, Any]:
    metrics = [r["metrics"].get(name) for name in names]
    limit = r["parameters"].get("limit")
    return {
        "name": row_name(r),
        "sanity": bool(r["sanity"]),
        "cells": [said(m["value"], m["low"], m["high"]) | {"n": number(m["n"])} if m else None for m in metrics],
        "n": number(r["n"]),
        "failed": number(r["n_failed"]) if r["n_failed"] else "",
        "partial": clean(f"limit={limit}", 40) if limit else "",
    }


def _alike(results: Sequence[Plain], name: str) -> list[dict[str, Any]]:
    """Who has the same values, and which: rows with equal ones together."""
    groups: dict[str, tuple[list[str], Plain]] = {}
    for r in results:
        key = json.dumps(r[name], sort_keys=True, default=str)
        groups.setdefault(key, ([], r[name]))[0].append(row_name(r))
    return [
        {
            "who": clean(", ".join(dict.fromkeys(who)), 300),
            "values": [(clean(k, 60), clean(_value(v), 200)) for k, v in sorted(values.items())[:40]],
        }
        for who, values in list(groups.values())[:20]
        if values
    ]


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _classes(r: Plain, count: int) -> dict[str, Any] | None:
    """The worst and the best classes of a row."""
    ordered = sorted(r["per_class"].items(), key=lambda item: (item[1], item[0]))
    if not ordered or not count:
        return None
    few = [(clean(name, 60), percent(value)) for name, value in ordered]
    worst = few[:count]
    return {"name": row_name(r), "worst": worst, "best": few[len(worst) :][-count:][::-1]}
