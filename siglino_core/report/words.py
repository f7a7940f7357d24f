"""How a page shows reasons and other people's text."""

from siglino_core.foreign import shown

# The reasons that have a colour of their own; any other shares the last.
KNOWN_REASONS = ("kept", "over_quota", "near_duplicate", "exact_duplicate", "rejected")


def clean(text: object, limit: int) -> str:
    """One line of at most ``limit`` characters as `siglino_core.foreign.shown`, with an ellipsis where it is cut."""
    line = shown(" ".join(str(text)[: 4 * limit + 64].split()))
    return line if len(line) <= limit else line[: max(0, limit - 1)].rstrip() + "…"


def block(text: str, limit: int) -> str:
    """Text of several lines, cut to ``limit`` characters with a line that says so."""
    safe = shown(text[: limit + 1])
    return safe if len(safe) <= limit else safe[:limit] + f"\n… cut: {len(text):,} characters in all"


def reason_name(reason: str) -> str:
    """near_duplicate -> near duplicate."""
    return clean(reason.replace("_", " "), 40) or "no reason"


def reason_class(reason: str) -> str:
    """The CSS class of a reason's colour; never made of the text itself."""
    return "r-" + (reason.replace("_", "-") if reason in KNOWN_REASONS else "other")
