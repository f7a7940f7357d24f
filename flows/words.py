"""Numbers for people."""

from pipelines.support.words import short


def size(n: float) -> str:
    """Bytes for people."""
    return short(n, "B")


def hours(h: float) -> str:
    """Hours for people, with the digits that mean something."""
    return f"{h:,.0f}" if h >= 100 else f"{h:.1f}" if h >= 1 else f"{h:.2g}"
