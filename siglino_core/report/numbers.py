"""Numbers for people: counts, shares, durations, bytes, hours."""

import math
from collections.abc import Iterable


def decimals(values: Iterable[float]) -> int:
    """Digits after the point that suit a whole column: three significant ones for its largest value."""
    top = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    if top == 0 or top >= 100:
        return 0
    return min(4, 2 - math.floor(math.log10(top)))


def number(value: float, places: int | None = None) -> str:
    """1234 -> 1,234; 71.23 -> 71.2; a dash for what is not a number."""
    if not math.isfinite(value):
        return "–"
    if isinstance(value, int) or (places is None and float(value).is_integer()):
        return f"{int(value):,}"
    return f"{value:,.{decimals([value]) if places is None else places}f}"


def percent(value: float, places: int = 1) -> str:
    """0.153 -> 15.3%; what is there but too little to show is <0.1%."""
    if not math.isfinite(value):
        return "–"
    if 0 < value < 0.5 * 10 ** -(places + 2):
        return f"<{10.0**-places:.{places}f}%"
    return f"{100 * value:.{places}f}%"


def duration(seconds: float) -> str:
    """0.42 s, 12.3 s, 4 min 05 s, 3 h 20 min."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


def plural(count: int, noun: str, several: str = "") -> str:
    """1 image, 2 images; of nouns whose plural is another: 1 box, 2 boxes."""
    return f"{count:,} {noun if count == 1 else several or f'{noun}s'}"


def short(value: float, unit: str) -> str:
    """Three digits and a prefix: 41.7 MFLOP, 1.29 TB."""
    power = next((p for p in range(5) if value < 1000 ** (p + 1)), 5)
    return f"{value / 1000**power:{',.0f' if power == 5 else '.3g'}} {('', 'k', 'M', 'G', 'T', 'P')[power]}{unit}"


def size(count: float) -> str:
    """Bytes: 12.3 MB."""
    return short(count, "B")


def hours(value: float) -> str:
    """Hours, with the digits that mean something: 12,346; 1.3; 0.0012."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"
