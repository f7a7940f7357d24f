"""Markdown tables whose cells hold any text."""

from collections.abc import Iterable, Sequence

_ESCAPED = str.maketrans({mark: f"&#{ord(mark)};" for mark in "&<>|*_`[]\\"})


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are as :func:`code` or :func:`words` made them."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def words(text: str) -> str:
    """Text for a cell: what Markdown, HTML and tables would take for a mark is escaped."""
    return text.translate(_ESCAPED)


def code(text: str) -> str:
    """Text without backticks in a fixed-width font, for a cell."""
    return f"`{text}`"
