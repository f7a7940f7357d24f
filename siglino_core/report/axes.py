"""Scales, ticks and the frame of the inline SVG charts."""

import math
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 46


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Values to SVG units, linear or logarithmic."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        a, b, v = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            a, b, v = math.log(a), math.log(b), math.log(v)
        return self.start + (self.stop - self.start) * ((v - a) / (b - a) if b > a else 0.0)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values inside the scale."""
        if self.log:
            return self._log_ticks()
        step = nice((self.high - self.low) / about)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _log_ticks(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        many = len(powers) > 4
        ticks = [m * 10.0**p for p in powers for m in ((1,) if many else (1, 2, 5) if len(powers) < 4 else (1, 3))]
        return [t for t in ticks if self.low * 0.999 <= t <= self.high * 1.001]


def nice(step: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    if step <= 0 or not math.isfinite(step):
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= step * 0.999)


def short(value: float) -> str:
    """A tick's text: 1,500; 20k; 3M; 0.05."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            unit = {"G": 1e9, "M": 1e6, "k": 1e3}[suffix]
            return f"{value / unit:,.10g}{suffix}"
    return f"{value:,.6g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.0e}"


def share_tick(value: float) -> str:
    """A tick's text for a fraction: 12%."""
    return f"{float(f'{100 * value:.3g}'):.10g}%"


def coordinate(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def text(x: float, y: float, content: str, css: str = "tick", anchor: str = "middle", extra: str = "") -> str:
    return (
        f'<text class="{css}" x="{coordinate(x)}" y="{coordinate(y)}" text-anchor="{anchor}"{extra}>'
        f"{escape(content)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    a, b, c, d = map(coordinate, (x1, y1, x2, y2))
    return f'<line class="{css}" x1="{a}" y1="{b}" x2="{c}" y2="{d}"/>'


def y_axis(y: Scale, title: str, *, share: bool) -> list[str]:
    """Grid lines with their values, and the axis's title along it."""
    parts = []
    for tick in y.ticks():
        at = y(tick)
        parts += [
            line(LEFT, at, WIDTH - RIGHT, at, "grid"),
            text(LEFT - 6, at + 4, share_tick(tick) if share else short(tick), anchor="end"),
        ]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(text(13, middle, title, "axis", extra=f' transform="rotate(-90 13 {coordinate(middle)})"'))
    return parts


def x_title(title: str) -> str:
    return text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, title, "axis")


def chart(parts: list[str], alt: str, height: float = HEIGHT) -> Markup:
    """The parts as one SVG picture with an alternative text."""
    head = f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {coordinate(height)}" aria-label="{escape(alt)}">'
    return Markup(head + "".join(parts) + "</svg>")  # noqa: S704 - every text in it went through escape
