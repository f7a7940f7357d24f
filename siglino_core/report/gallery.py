"""The report's images as the template shows them: the map with its hover data, and the clusters' grids."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from markupsafe import Markup

from siglino_core.report import charts
from siglino_core.report.model import ClusterGrid, CurationReport, MapView, Picture
from siglino_core.report.numbers import number
from siglino_core.report.words import clean, reason_class, reason_name

MAX_POINTS, MAX_HOVERS, MAX_GRIDS, MAX_TILES, MAX_REASONS = 20_000, 600, 50, 50, 12
HOVER_BYTES = 1_200_000


@dataclass(frozen=True)
class Thumbs:
    """Data URIs for the grids' pictures (in order of :func:`grid_pictures`) and for the map's (by point)."""

    tiles: Sequence[str | None]
    hovers: dict[int, str]


def grid_pictures(report: CurationReport) -> list[Picture]:
    """Every picture of the grids that is shown, in the order of the page."""
    sides = ((g.kept[:MAX_TILES], g.dropped[:MAX_TILES]) for g in report.grids[:MAX_GRIDS])
    return list(chain.from_iterable(chain(*s) for s in sides))


def hover_points(report: CurationReport) -> list[int]:
    """Which points of the map get a thumbnail: an even choice, and of the kept ones at least half as many."""
    if report.map is None:
        return []
    points = report.map.points[:MAX_POINTS]
    kept = [i for i, p in enumerate(points) if p.picture.data and p.picture.reason == "kept"]
    rest = [i for i, p in enumerate(points) if p.picture.data and p.picture.reason != "kept"]
    kept = kept[:: max(1, -(-len(kept) * 2 // MAX_HOVERS))]
    rest = rest[:: max(1, -(-len(rest) // (MAX_HOVERS - len(kept))))]
    return sorted([*kept, *rest])


def said(picture: Picture, limit: int) -> str:
    """What stands under an image: its caption, else its label, else its key or id."""
    return clean((picture.caption or picture.label or picture.source_key or picture.image_id)[: 8 * limit], limit)


def embedded(value: object) -> Markup:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - just made safe


def atlas(view: MapView, hovers: dict[int, str]) -> dict[str, Any]:
    """The map: one path and one legend row a reason, and what hovering needs."""
    points = view.points[:MAX_POINTS]
    x, y = charts.fit(np.array([p.x for p in points], dtype=float), np.array([p.y for p in points], dtype=float))
    reasons = [p.picture.reason for p in points]
    shown = {r for r, _ in Counter(reasons).most_common(MAX_REASONS)} | {"kept"}
    reasons = [r if r in shown else "other reasons" for r in reasons]
    counts = Counter(reasons)
    order = sorted(counts, key=lambda r: (r == "kept", -counts[r], r))  # kept is drawn last, on top
    index = {r: i for i, r in enumerate(order)}
    which = np.array([index[r] for r in reasons], dtype=np.int64)
    groups = [
        (f"{reason_class(r)} m{i}{' kept' if r == 'kept' else ''}", x[which == i], y[which == i])
        for i, r in enumerate(order)
    ]
    legend = [
        {"id": f"m{i}", "css": reason_class(r), "name": reason_name(r), "count": number(int((which == i).sum()))}
        for i, r in enumerate(order)
    ]
    alt = f"Map of {len(points):,} images: " + ", ".join(f"{row['name']} {row['count']}" for row in legend[::-1])
    data = {
        "x": x.tolist(),
        "y": y.tolist(),
        "r": which.tolist(),
        "names": [row["name"] for row in legend],
        "css": [row["css"] for row in legend],
        "captions": _captions(view),
        "thumbs": {str(i): uri for i, uri in hovers.items()},
    }
    return {
        "svg": charts.scatter(groups, alt),
        "legend": legend[::-1],
        "data": embedded(data),
        "method": clean(view.method, 400),
        "shown": number(len(points)),
        "drawn_from": number(view.drawn_from),
        "hovers": len(hovers),
    }


def _captions(view: MapView) -> list[str]:
    """The points' captions, as long as all of them together fit HOVER_BYTES; else none."""
    for limit in (100, 60, 30, 12):
        captions = [said(p.picture, limit) for p in view.points[:MAX_POINTS]]
        if len(embedded(captions).encode()) <= HOVER_BYTES:
            return captions
    return []


def grids(clusters: Sequence[ClusterGrid], tiles: Sequence[str | None], limit: int) -> list[dict[str, Any]]:
    """The clusters' tiles, with captions of at most ``limit`` characters."""
    left = iter(tiles)

    def tile(picture: Picture) -> dict[str, Any]:
        uri = next(left, None)
        text = said(picture, limit)
        state = "" if uri else "image not shown" if picture.data else "no image"
        return {
            "uri": Markup(uri) if uri else "",  # noqa: S704 - our own base64
            "alt": text or "image without a caption",
            "missing": state,
            "text": text,
            "label": clean(picture.label, min(40, limit)) if picture.label and picture.caption else "",
            "css": reason_class(picture.reason),
            "reason": clean(reason_name(picture.reason), max(16, min(40, limit))),
            "note": clean(picture.note, min(80, limit)),
        }

    return [
        {
            "title": clean(g.title, 80),
            "why": clean(g.why, 160),
            "pool": number(g.pool_size),
            "kept_size": number(g.kept_size),
            "dropped_size": number(max(0, g.pool_size - g.kept_size)),
            "kept": [tile(p) for p in g.kept[:MAX_TILES]],
            "dropped": [tile(p) for p in g.dropped[:MAX_TILES]],
        }
        for g in clusters[:MAX_GRIDS]
    ]
