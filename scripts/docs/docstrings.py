"""A Griffe extension: the house's docstrings as Griffe and Markdown know them."""

import re
from typing import Any

import griffe

_SEVERAL = re.compile(r"^    (\w+(?:, \w+)+):((?: .*)?(?:\n {5,}.*)*)", re.M)


def plain(text: str) -> str:
    """Roles and doubled backticks as code."""
    text = re.sub(r":[a-z]+:`~?([^`]+)`", r"`\1`", text)
    return re.sub(r"``([^`]+)``", r"`\1`", text)


def one_each(text: str) -> str:
    """Arguments and attributes that share a line, as ``height, width: pixels`` do, on lines of their own."""

    def split(match: re.Match[str]) -> str:
        return "\n".join(f"    {name}:{match[2]}" for name in match[1].split(", "))

    return _SEVERAL.sub(split, text)


class House(griffe.Extension):
    """Changes every docstring of the packages before it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Changes one docstring."""
        if obj.docstring:
            obj.docstring.value = one_each(plain(obj.docstring.value))
