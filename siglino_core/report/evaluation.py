"""The evaluation report: one self-contained HTML page of plain values, under 8 MB whatever was evaluated."""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from siglino_core.report import evaluation_details as details
from siglino_core.report import evaluation_view as view
from siglino_core.report import thumbnails
from siglino_core.report.evaluation_view import Caps
from siglino_core.report.evaluation_words import Plain, task_name
from siglino_core.report.numbers import number, plural
from siglino_core.report.words import clean

LIMIT = 8_000_000  # bytes of the page
BARE_LIMIT = 3_500_000  # of it, what everything but the thumbnails may take
MARKUP = 700  # characters of a tile besides its picture, at most
MAX_GALLERIES, MAX_TILES = 24, 48
TEMPLATES = Path(__file__).parent / "templates"
CAPS = [
    Caps(rows=rows, classes=classes, clusters=clusters, checks=checks)
    for rows, classes, clusters, checks in ((80, 10, 16, 400), (40, 6, 10, 150), (16, 3, 6, 60), (6, 0, 3, 20))
]


def evaluation_page(
    results: Sequence[Plain],
    *,
    title: str,
    date: str = "",
    leaderboard: Plain | None = None,
    curves: Sequence[Plain] = (),
    clusters: Sequence[Plain] = (),
    worst: Sequence[Plain] = (),
    gate: Sequence[Plain] | None = None,
    notes: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> str:
    """The page. A pure function: the same values give the same text; other people's text stays text.

    Where it would grow past LIMIT, rows are left out first and told, then thumbnails get smaller, then fewer.

    Args:
        results: as `siglino_core.evaluation.results.result.Result.to_dict` has them.
        leaderboard: ``tasks`` and ``notes``, as `siglino_core.evaluation.results.page.plain_board` has them.
        curves: a metric over sizes: task, dataset, metric, name, view, and ``points`` of side, value, low, high.
        clusters: task, dataset, network, view, metric, and ``rows`` as `evaluation.results.by_cluster` has them.
        worst: task, dataset, network, view, metric, and ``samples`` as `evaluation.results.worst` has them, each
            with ``data``, its encoded image or None.
        gate: checks: name, passed, words, skipped.
        notes: what was passed over and why, in sentences; they stand under the leaderboard.
        limits: more that is not measured, in sentences.
    """
    context, bare = {}, ""
    for caps in CAPS:
        context = {
            "title": clean(title, 80) or "evaluation",
            "date": clean(date, 40),
            "counts": _counts(results),
            "partial": any(r["parameters"].get("limit") for r in results),
            "board": view.leaderboard(leaderboard, caps),
            "notes": [clean(n, 400) for n in (*(leaderboard["notes"] if leaderboard else ()), *notes)][: caps.rows],
            "gate": details.checks(gate, caps),
            "sections": view.sections(results, caps),
            "resolution": details.resolution(curves),
            "clusters": details.clusters(clusters, caps),
            "limits": details.not_measured(results, limits[:20]),
        }
        bare = _render(context, [])
        if len(bare.encode()) <= BARE_LIMIT:
            break
    shown = [{**w, "samples": w["samples"][:MAX_TILES]} for w in worst[:MAX_GALLERIES]]
    data = [s["data"] for s in chain.from_iterable(w["samples"] for w in shown)]
    budget = LIMIT - len(bare.encode()) - 50_000 - 4 * MARKUP * len(data)
    page = _render(context, _galleries(shown, thumbnails.fit(data, max(0, budget))))
    assert len(page.encode()) <= LIMIT, "the caps above must hold"
    return page


def _counts(results: Sequence[Plain]) -> str:
    own = [r for r in results if not r["sanity"]]
    counts = (
        (len({r["network"] for r in own}), "network"),
        (len({(r["network"], r["view"]) for r in own}), "view"),
        (len({r["task"] for r in own}), "task"),
        (len({r["dataset"] for r in own}), "data set"),
    )
    return " · ".join(plural(*c) for c in counts)


def _galleries(worst: Sequence[Mapping[str, Any]], uris: Sequence[str | None]) -> list[dict[str, Any]]:
    left = iter(uris)
    return [
        {"title": _title(w), "tiles": [_tile(s, next(left, None)) for s in w["samples"]]} for w in worst if w["samples"]
    ]


def _title(about: Plain) -> str:
    view = clean(f"{about['network']} {about['view']}", 80)
    return f"{task_name(about['task'])} on {clean(about['dataset'], 60)}, {view}"


def _tile(sample: Plain, uri: str | None) -> dict[str, Any]:
    label, predicted = clean(sample["label"] or "", 80), clean(sample["predicted"] or "", 80)
    score = "" if sample["score"] is None else f", {number(sample['score'], 3)}"
    rank = "" if sample["rank"] is None else f", place {number(sample['rank'])}"
    return {
        "uri": Markup(uri) if uri else "",  # noqa: S704 - our own base64
        "alt": label or clean(sample["sample_id"], 60) or "image",
        "missing": "" if uri else "image not shown" if sample["data"] else "no image",
        "predicted": predicted or "–",
        "label": f"is {label}" if label else "",
        "note": clean(sample["sample_id"], 60) + score + rank,
    }


def _render(context: Mapping[str, Any], gallery: Sequence[Mapping[str, Any]]) -> str:
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return _template().render(**context, gallery=gallery, style=Markup(style))  # noqa: S704 - our own file


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("evaluation.html")
