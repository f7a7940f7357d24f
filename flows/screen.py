"""What commands print: our words as they are, everybody else's as text that no terminal obeys."""

import re
from typing import Any

from rich.console import Console
from rich.text import Text

from siglino_core.config.credentials import redacted
from siglino_core.foreign import printable

NEWLINE = re.compile(r"(\n)")


class Screen(Console):
    """A console on which strings are text: no markup, no emoji names, and nothing in them that a terminal obeys.

    A line break in a string breaks the line; `say` is for lines that quote names.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does it: of what is printed and of cells of tables."""
        longest = len(text) + 1  # to cut is for those who know what stands there
        return super().render_str("".join(_kept(part, longest) for part in NEWLINE.split(text)), **options)


def _kept(part: str, longest: int) -> str:
    return part if part == "\n" else printable(part, longest)


def say(console: Console, *lines: str, style: str | None = None) -> None:
    """Print lines as they are, however long; a name in one can begin no other."""
    for line in lines:
        console.print(Text(printable(line)), style=style, highlight=False, soft_wrap=True)


def said(error: BaseException) -> str:
    """An error as a command ends with it: its class and its lines, without the secrets of an address."""
    return redacted(f"{type(error).__name__}: {error}")
