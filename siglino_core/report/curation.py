"""The curation report: one self-contained HTML page, under 8 MB whatever the pool's size."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from siglino_core.report import gallery, lineage, thumbnails, view
from siglino_core.report.gallery import Thumbs
from siglino_core.report.headline import headline
from siglino_core.report.model import (
    Balance,
    BalanceRow,
    ClusterGrid,
    CurationReport,
    Drop,
    Funnel,
    Interval,
    LabelCounts,
    Learning,
    LevelSizes,
    MapPoint,
    MapView,
    Metric,
    Picture,
    Query,
    Reject,
    StageRecord,
)
from siglino_core.report.words import clean

__all__ = [
    "LIMIT",
    "Balance",
    "BalanceRow",
    "ClusterGrid",
    "CurationReport",
    "Drop",
    "Funnel",
    "Interval",
    "LabelCounts",
    "Learning",
    "LevelSizes",
    "MapPoint",
    "MapView",
    "Metric",
    "Picture",
    "Query",
    "Reject",
    "StageRecord",
    "render",
]

LIMIT = 8_000_000  # bytes of the page
BARE_LIMIT = 3_500_000  # of it, what everything but the thumbnails may take
HOVER_SHARE = 0.3  # of the thumbnails' budget, what the map's may take
TEMPLATES = Path(__file__).parent / "templates"


def render(report: CurationReport) -> str:
    """The page. A pure function: the same report gives the same text.

    Where it would grow past LIMIT, captions get shorter first, then thumbnails smaller, then fewer.
    """
    numbers = view.numbers(report)
    for text in (140, 80, 40, 16):
        context = numbers | _words(report, text)
        bare = _page(report, context, Thumbs((), {}), text)
        if len(bare.encode()) <= BARE_LIMIT:
            break
    budget = LIMIT - len(bare.encode()) - 50_000
    points = gallery.hover_points(report)
    pictures = gallery.grid_pictures(report)
    hover_budget = int(budget * HOVER_SHARE) if pictures else budget
    data = [report.map.points[i].picture.data for i in points] if report.map else []
    hovers = {i: uri for i, uri in zip(points, _fit(data, hover_budget, 16), strict=True) if uri}
    used = sum(len(uri) + 16 for uri in hovers.values())
    tiles = _fit([p.data for p in pictures], budget - used, 64)
    page = _page(report, context, Thumbs(tiles, hovers), text)
    assert len(page.encode()) <= LIMIT, "the budget above must hold"
    return page


def _fit(images: list[bytes | None], budget: int, each: int) -> list[str | None]:
    """:func:`thumbnails.fit` less ``each`` characters of markup an image."""
    return thumbnails.fit(images, max(0, budget - each * len(images)))


def _words(report: CurationReport, text: int) -> dict[str, Any]:
    return {
        "run_name": clean(report.run_name, 80) or "curation",
        "experiment": clean(report.experiment, 80),
        "date": clean(report.date, 40),
        "headline": headline(report),
        "rejects": lineage.rejects(report, max(text, 60)),
        "stages": lineage.stages(report),
        "lineage": lineage.lineage(report),
    }


def _page(report: CurationReport, context: dict[str, Any], thumbs: Thumbs, text: int) -> str:
    atlas = gallery.atlas(report.map, thumbs.hovers) if report.map and report.map.points else None
    grids = gallery.grids(report.grids, thumbs.tiles, text)
    script = _asset("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template().render(
        **context,
        map=atlas,
        grids=grids,
        style=Markup(_asset("style.css")),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        script_hash=digest,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("curation.html")


@cache
def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
