"""Inline SVG charts: funnel bars, paired bars, histograms over doubling bins, rank curves, intervals, the map."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from siglino_core.report.axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    chart,
    coordinate,
    line,
    nice,
    short,
    text,
    x_title,
    y_axis,
)
from siglino_core.report.measures import doubling_bins, ranked_shares
from siglino_core.report.model import Counts, Interval
from siglino_core.report.words import clean

MAP_WIDTH, MAP_HEIGHT = 1600, 1000
FLOOR = HEIGHT - BOTTOM


@dataclass(frozen=True, kw_only=True)
class Series:
    """A named set of values and the CSS class that colours it."""

    name: str
    css: str
    values: Counts


def span_bar(low: float, high: float, css: str) -> Markup:
    """A bar from ``low`` to ``high`` (shares of the whole); what is there stays visible however thin."""
    low, high = (min(1.0, max(0.0, v)) for v in (low, high))
    width = max(high - low, 0.004 if high > low else 0.0)
    x = min(low, 1 - width)
    return Markup(  # noqa: S704 - numbers and our own class names
        '<svg class="span" aria-hidden="true" viewBox="0 0 1000 10" preserveAspectRatio="none">'
        '<rect class="track" width="1000" height="10"/>'
        f'<rect class="{css}" x="{coordinate(1000 * x)}" width="{coordinate(1000 * width)}" height="10"/></svg>'
    )


def paired_bars(names: Sequence[str], series: Sequence[Series], title: str, alt: str, y_name: str) -> Markup:
    """Bars side by side, in groups; values are shares."""
    top = max((float(v) for s in series for v in s.values), default=0.0) or 1.0
    step = nice(top / 4)
    y = Scale(low=0, high=step * math.ceil(top / step - 1e-9), start=FLOOR, stop=TOP)
    parts = y_axis(y, y_name, share=True)
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(names))
    bar = slot * 0.8 / len(series)
    stride = math.ceil(len(names) / 12)
    for i, name in enumerate(names):
        left = LEFT + i * slot + slot * 0.1
        for j, s in enumerate(series):
            height = FLOOR - y(float(s.values[i]))
            if height > 0:
                box = (left + j * bar, FLOOR - height, max(0.8, bar - 0.6), height)
                x, at, w, h = map(coordinate, box)
                parts.append(f'<rect class="f-{s.css}" x="{x}" y="{at}" width="{w}" height="{h}"/>')
        if name and i % stride == 0:
            parts.append(text(LEFT + (i + 0.5) * slot, FLOOR + 16, name))
    parts += [line(LEFT, FLOOR, WIDTH - RIGHT, FLOOR, "base"), x_title(title)]
    return chart(parts, alt)


def histogram(series: Sequence[Series], title: str, alt: str, y_name: str) -> Markup:
    """Shares of entries over 0, 1, 2-3, 4-7, ...: a histogram on a log axis that whole numbers fit."""
    names, shares = doubling_bins(*(s.values for s in series))
    binned = [Series(name=s.name, css=s.css, values=v) for s, v in zip(series, shares, strict=True)]
    return paired_bars(names, binned, title, alt, y_name)


def rank_curves(series: Sequence[Series], title: str, alt: str, y_name: str) -> Markup:
    """Share of every entry, largest first, on a log axis: the flatter, the more balanced."""
    curves = [(s, *ranked_shares(s.values)) for s in series]
    heights = np.concatenate([h for _, _, h in curves]) if curves else np.zeros(0)
    if not heights.size:
        return chart([text(WIDTH / 2, HEIGHT / 2, "nothing to show")], alt)
    low, high = float(heights.min()) * 0.7, float(heights.max()) * 1.25
    last = max(float(r[-1]) for _, r, _ in curves if r.size)
    y = Scale(low=low, high=min(1.0, high) if low < 1 else high, start=FLOOR, stop=TOP, log=True)
    x = Scale(low=1, high=max(2.0, last), start=LEFT, stop=WIDTH - RIGHT)
    parts = y_axis(y, y_name, share=True)
    ticks = [1.0, *(t for t in x.ticks(4) if t > 1 and x(t) - x(1) > 30)]
    parts += [text(x(t), FLOOR + 16, short(t)) for t in ticks if t.is_integer()]
    parts += [line(LEFT, FLOOR, WIDTH - RIGHT, FLOOR, "base"), x_title(title)]
    for s, ranks, shares in curves:
        at = " ".join(f"{coordinate(x(r))},{coordinate(y(v))}" for r, v in zip(ranks, shares, strict=True))
        if len(ranks) == 1:
            at = f"{at} {coordinate(x(1) + 3)},{coordinate(y(float(shares[0])))}"
        parts.append(f'<polyline class="l-{s.css}" points="{at}"/>')
    return chart(parts, alt)


def intervals(rows: Sequence[tuple[str, str, Interval, str]], title: str, alt: str, *, share: bool) -> Markup:
    """A dot and its 95% interval a row; ``rows`` are (name, CSS class, value, what is written beside the dot)."""
    spread = [v for _, _, i, _ in rows for v in (i.mean, i.low, i.high) if v is not None and math.isfinite(v)]
    low, high = (min(spread), max(spread)) if spread else (0.0, 1.0)
    pad = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
    step = 48
    height = 8 + step * len(rows) + 40
    x = Scale(low=low - pad, high=high + pad, start=14, stop=WIDTH - 14)
    floor = height - 40
    parts = []
    for tick in x.ticks(5):
        label = f"{float(f'{100 * tick:.6g}'):g}%" if share else short(tick)
        parts += [line(x(tick), 8, x(tick), floor, "grid"), text(x(tick), floor + 16, label)]
    for i, (name, css, value, said) in enumerate(rows):
        at = 8 + i * step + 32
        parts.append(text(14, at - 15, f"{clean(name, 44)}: {said}", "name", "start"))
        if not math.isfinite(value.mean):
            continue
        if value.low is not None and value.high is not None:
            parts.append(line(x(value.low), at, x(value.high), at, f"w-{css}"))
        parts.append(f'<circle class="f-{css}" cx="{coordinate(x(value.mean))}" cy="{at}" r="5"/>')
    parts.append(text(WIDTH / 2, height - 6, title, "axis"))
    return chart(parts, alt, height)


def fit(x_N: np.ndarray, y_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole map units for any coordinates: one scale for both axes, the middle 99% fills the map, outliers clip."""
    if not x_N.size:
        return x_N.astype(np.int64), y_N.astype(np.int64)
    x_N, y_N = (np.nan_to_num(a, nan=0.0, posinf=0.0, neginf=0.0) for a in (x_N, y_N))
    (x0, x1), (y0, y1) = (np.quantile(a, [0.005, 0.995]) for a in (x_N, y_N))
    margin = 60
    scale = min((MAP_WIDTH - 2 * margin) / max(x1 - x0, 1e-12), (MAP_HEIGHT - 2 * margin) / max(y1 - y0, 1e-12))
    px = MAP_WIDTH / 2 + (x_N - (x0 + x1) / 2) * scale
    py = MAP_HEIGHT / 2 - (y_N - (y0 + y1) / 2) * scale
    return (
        np.clip(px, 16, MAP_WIDTH - 16).round().astype(np.int64),
        np.clip(py, 16, MAP_HEIGHT - 16).round().astype(np.int64),
    )


def scatter(groups: Sequence[tuple[str, np.ndarray, np.ndarray]], alt: str) -> Markup:
    """The map: one path a reason, in drawing order; ``groups`` are (CSS class, x, y) in map units."""
    paths = "".join(
        f'<path class="{css}" d="{"".join(f"M{a} {b}h0" for a, b in zip(x.tolist(), y.tolist(), strict=True))}"/>'
        for css, x, y in groups
    )
    head = f'<svg class="map" role="img" viewBox="0 0 {MAP_WIDTH} {MAP_HEIGHT}"'
    return Markup(head + ' aria-label="{}">').format(alt) + Markup(paths + "</svg>")  # noqa: S704
