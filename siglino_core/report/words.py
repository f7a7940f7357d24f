"""How the page says numbers, durations, reasons and other people's text."""

import math
import re
from collections.abc import Iterable

# The reasons that have a colour of their own; any other shares the last.
KNOWN_REASONS = ("kept", "over_quota", "near_duplicate", "exact_duplicate", "rejected")
# Control characters but tab and newline, and lone surrogates, which no encoding can write.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def clean(text: object, limit: int) -> str:
    """One line of at most ``limit`` characters: no control characters, no lone surrogates, an ellipsis where cut."""
    line = UNPRINTABLE.sub("", " ".join(str(text)[: 4 * limit + 64].split()))
    return line if len(line) <= limit else line[: max(0, limit - 1)].rstrip() + "…"


def block(text: str, limit: int) -> str:
    """Text of several lines, cut to ``limit`` characters with a line that says so."""
    safe = UNPRINTABLE.sub("", text[: limit + 1])
    return safe if len(safe) <= limit else safe[:limit] + f"\n… cut: {len(text):,} characters in all"


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


def reason_name(reason: str) -> str:
    """near_duplicate -> near duplicate."""
    return clean(reason.replace("_", " "), 40) or "no reason"


def reason_class(reason: str) -> str:
    """The CSS class of a reason's colour; never made of the text itself."""
    return "r-" + (reason.replace("_", "-") if reason in KNOWN_REASONS else "other")


def plural(count: int, noun: str) -> str:
    """1 image, 2 images."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
