"""How a page shows reasons and other people's text."""

import re

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


def reason_name(reason: str) -> str:
    """near_duplicate -> near duplicate."""
    return clean(reason.replace("_", " "), 40) or "no reason"


def reason_class(reason: str) -> str:
    """The CSS class of a reason's colour; never made of the text itself."""
    return "r-" + (reason.replace("_", "-") if reason in KNOWN_REASONS else "other")
