"""Pictures of an evaluation: a cell's interval, curves over sizes, a metric against a loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    short,
    text,
    x_title,
    y_axis,
)

FLOOR = HEIGHT - BOTTOM
COLOURS = ("ours", "random", "dedup", "pool")  # CSS classes, in the order of their use
Point = tuple[float, float, float | None, float | None]  # x, value, low, high


@dataclass(frozen=True, kw_only=True)
class Range:
    """What a column's bars go over."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float | None]) -> "Range":
        """From the least to the highest value, with some room; of nothing, from 0 to 1."""
        there = [v for v in values if v is not None and math.isfinite(v)]
        if not there:
            return cls(low=0.0, high=1.0)
        low, high = min(there), max(there)
        room = (high - low) * 0.06 or 0.02
        return cls(low=low - room, high=high + room)

    def share(self, value: float) -> float:
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def interval_bar(value: float, low: float | None, high: float | None, over: Range, css: str) -> Markup:
    """A mark at the value and a bar from low to high, on a track of the column's range."""
    at = 1000 * over.share(value)
    parts = ['<rect class="track" width="1000" height="10"/>']
    if low is not None and high is not None:
        a, b = 1000 * over.share(low), 1000 * over.share(high)
        parts.append(
            f'<rect class="i-{css}" x="{coordinate(a)}" width="{coordinate(max(4.0, b - a))}" y="2" height="6"/>'
        )
    x = min(max(at - 6, 0), 988)
    parts.append(f'<rect class="f-{css}" x="{coordinate(x)}" width="12" height="10"/>')
    head = '<svg class="span small" aria-hidden="true" viewBox="0 0 1000 10" preserveAspectRatio="none">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - numbers and our own class names


def curves(series: Sequence[Sequence[Point]], alt: str, x_name: str, y_name: str) -> Markup:
    """Lines with their points and intervals, one colour each as :data:`COLOURS` has them; values are shares."""
    points = [p for s in series for p in s]
    over = Range.of([v for _, value, low, high in points for v in (value, low, high)])
    y = Scale(low=max(0.0, over.low), high=min(1.0, over.high), start=FLOOR, stop=TOP)
    sides = sorted({p[0] for p in points})
    x = Scale(low=sides[0], high=sides[-1], start=LEFT + 16, stop=WIDTH - RIGHT - 16)
    parts = y_axis(y, y_name, share=True)
    parts += [text(x(side), FLOOR + 16, short(side)) for side in sides]
    parts += [line(LEFT, FLOOR, WIDTH - RIGHT, FLOOR, "base"), x_title(x_name)]
    for i, own in enumerate(series):
        css = COLOURS[i % len(COLOURS)]
        at = " ".join(f"{coordinate(x(a))},{coordinate(y(v))}" for a, v, _, _ in own)
        parts.append(f'<polyline class="l-{css}" points="{at}"/>')
        for a, v, low, high in own:
            if low is not None and high is not None:
                parts.append(line(x(a), y(low), x(a), y(high), f"w-{css}"))
            parts.append(f'<circle class="f-{css}" cx="{coordinate(x(a))}" cy="{coordinate(y(v))}" r="3.5"/>')
    return chart(parts, alt)


def scatter(points: Sequence[tuple[float, float]], alt: str, x_name: str, y_name: str) -> Markup:
    """A dot each; the second value is a share."""
    across, up = Range.of([x for x, _ in points]), Range.of([y for _, y in points])
    x = Scale(low=across.low, high=across.high, start=LEFT, stop=WIDTH - RIGHT)
    y = Scale(low=max(0.0, up.low), high=min(1.0, up.high), start=FLOOR, stop=TOP)
    parts = y_axis(y, y_name, share=True)
    parts += [text(x(tick), FLOOR + 16, short(tick)) for tick in x.ticks(5)]
    parts += [line(LEFT, FLOOR, WIDTH - RIGHT, FLOOR, "base"), x_title(x_name)]
    for a, b in points:
        parts.append(f'<circle class="f-ours dim" cx="{coordinate(x(a))}" cy="{coordinate(y(b))}" r="4"/>')
    return chart(parts, alt)
