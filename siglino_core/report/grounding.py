"""The page of grounding's answers: one self-contained HTML page of plain values, under 8 MB whatever was answered."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from siglino_core.report import thumbnails
from siglino_core.report.evaluation_charts import Range, interval_bar
from siglino_core.report.evaluation_words import Plain, answers_row_name, said, task_name
from siglino_core.report.numbers import number, percent
from siglino_core.report.thumbnails import LADDER, Rung
from siglino_core.report.words import clean

LIMIT = 8_000_000  # bytes of the page
MARKUP = 1_600  # characters of a tile besides its picture, at most
MAX_SETS, MAX_ROWS, MAX_TILES, MAX_NOTES = 20, 24, 200, 60
DIFFERENCE = "above_"  # how the names of metrics begin that verdicts tell in words
TEXT, NAME = 160, 80  # characters of an expression, and of a name
TEMPLATES = Path(__file__).parent / "templates"
LARGE = (Rung(448, 80), Rung(384, 76), Rung(320, 74), Rung(256, 72), Rung(192, 70), *LADDER)  # boxes must be seen


def grounding_page(sets: Sequence[Plain], *, title: str, about: str = "", notes: Sequence[str] = ()) -> str:
    """The page. A pure function: the same values give the same text; other people's text stays text.

    Where it would grow past LIMIT, pictures get smaller, then fewer; so many tiles that their words alone would fill
    it are left out first, and told.

    Args:
        sets: a test set each: name; ``counts``, as (what, how many); ``results``, as
            `siglino_core.evaluation.results.result.Result.to_dict` has them; ``verdicts``, of words and whether it is
            ``above``; ``buckets``, as (referents, expressions, found, missed, invented); ``tiles``, of text, verdict,
            whether it is ``good`` and ``worst``, and ``data``, the encoded picture with everything drawn, or None.
        about: how it was asked, in a line.
        notes: what was not measured and why, in sentences.
    """
    shown = [{**one, "tiles": one["tiles"][:MAX_TILES]} for one in sets[:MAX_SETS]]
    most = (LIMIT // 4) // MARKUP // max(1, len(shown))
    shown = [{**one, "tiles": one["tiles"][:most], "more": len(one["tiles"][most:])} for one in shown]
    context = {
        "title": clean(title, NAME) or "answers",
        "about": clean(about, 300),
        "notes": [clean(note, 500) for note in notes][:MAX_NOTES],
        "left_out": len(sets) - len(shown),
    }
    bare = _render(context, shown, [])
    tiles = list(chain.from_iterable(one["tiles"] for one in shown))
    budget = LIMIT - len(bare.encode()) - 50_000
    page = _render(context, shown, thumbnails.fit([t["data"] for t in tiles], max(0, budget), LARGE))
    assert len(page.encode()) <= LIMIT, "the caps above must hold"
    return page


def _render(context: Mapping[str, Any], sets: Sequence[Plain], uris: Sequence[str | None]) -> str:
    left = iter(uris)
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    plain = [_set(i, one, [next(left, None) for _ in one["tiles"]]) for i, one in enumerate(sets)]
    return _template().render(**context, sets=plain, style=Markup(style))  # noqa: S704 - our own file


def _set(i: int, one: Plain, uris: Sequence[str | None]) -> dict[str, Any]:
    tasks = dict.fromkeys(r["task"] for r in one["results"])
    tiles = [_tile(t, uri) for t, uri in zip(one["tiles"], uris, strict=True)]
    return {
        "id": f"s{i}",
        "name": clean(one["name"], NAME),
        "counts": " · ".join(f"{number(count)} {clean(what, 40)}" for what, count in one["counts"]),
        "verdicts": [{"above": v["above"], "words": clean(v["words"], 500)} for v in one["verdicts"]][:MAX_ROWS],
        "tasks": [_task(task, [r for r in one["results"] if r["task"] == task]) for task in tasks],
        "buckets": [
            {"name": clean(b["name"], 20), **{k: number(b[k]) for k in ("samples", "found", "missed", "invented")}}
            for b in one["buckets"]
        ],
        "drawn": [t for t in tiles if not t["worst"]],
        "worst": [t for t in tiles if t["worst"]],
        "more": one.get("more", 0),
    }


def _task(task: str, results: Sequence[Plain]) -> dict[str, Any]:
    """A table: models first, then baselines; a column a metric, with bars in the first."""
    order = sorted(results, key=lambda r: bool(r["sanity"]))[:MAX_ROWS]
    names = [n for n in dict.fromkeys(n for r in order for n in r["metrics"]) if not n.startswith(DIFFERENCE)]
    values = [r["metrics"][names[0]] for r in order if names[0] in r["metrics"]]
    over = Range.of([m[k] for m in values for k in ("value", "low", "high")])
    return {
        "name": task_name(task),
        "metrics": [_column(name, order) for name in names],
        "rows": [_row(r, names, over) for r in order],
        "methods": clean("; ".join(sorted({m["method"] for r in order for m in r["metrics"].values()} - {""})), 600),
        "more": len(results) - len(order),
    }


def _column(name: str, results: Sequence[Plain]) -> dict[str, str]:
    counts = sorted({r["metrics"][name]["n"] for r in results if name in r["metrics"]})
    return {"name": clean(name.replace("_", " "), 60), "n": f"n = {number(counts[0])}" if len(counts) == 1 else ""}


def _row(r: Plain, names: Sequence[str], over: Range) -> dict[str, Any]:
    cells = []
    for i, name in enumerate(names):
        metric = r["metrics"].get(name)
        if metric is None:
            cells.append(None)
            continue
        css = "pool" if r["sanity"] else "ours"
        ends = metric["value"], metric["low"], metric["high"]
        cells.append({**said(*ends), "bar": "" if i else interval_bar(*ends, over, css)})
    failed = f"{percent(r['n_failed'] / r['n'])} without an answer" if r["n_failed"] and r["n"] else ""
    return {"name": answers_row_name(r), "sanity": bool(r["sanity"]), "cells": cells, "failed": failed}


def _tile(tile: Plain, uri: str | None) -> dict[str, Any]:
    return {
        "uri": Markup(uri) if uri else "",  # noqa: S704 - our own base64
        "missing": "" if uri else "image not shown",
        "text": clean(tile["text"], TEXT) or "–",
        "verdict": clean(tile["verdict"], TEXT),
        "good": bool(tile["good"]),
        "worst": bool(tile["worst"]),
    }


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("grounding.html")
