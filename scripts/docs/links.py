"""Links of the repository's Markdown, as the site has them: to a page, to a module's place in the API, or to a file."""

import os.path
import re
from collections.abc import Callable
from pathlib import PurePosixPath

_FENCE = re.compile(r"\s*(```|~~~)")
# A code span is left alone; a link or an image is taken apart: (!)[text](target).
_LINK = re.compile(r"`+[^`]*`+|(!?)\[((?:`[^`]*`|[^\]`])*)\]\(([^)\s]+)\)")


def links(text: str) -> list[str]:
    """The targets of a text's links into the repository, in order; those to the web are left out."""
    targets: list[str] = []
    rewrite(text, lambda target: targets.append(target) or target)
    return targets


def rewrite(text: str, change: Callable[[str], str]) -> str:
    """The text with every link into the repository changed; code and links to the web stay."""

    def one(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        if target is None or re.match(r"[a-z][a-z+.-]*:|#", target):
            return match.group()
        return f"{mark}[{words}]({change(target)})"

    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        fence = bool(_FENCE.match(line))
        inside ^= fence
        lines.append(line if inside or fence else _LINK.sub(one, line))
    return "\n".join(lines)


def in_repository(target: str, page: str) -> str:
    """The path in the repository that a link of the file ``page`` leads to, without its anchor.

    Raises:
        ValueError: it leads out of the repository.
    """
    path = os.path.normpath(PurePosixPath(page).parent / target.partition("#")[0])
    if path.startswith(".."):
        raise ValueError(f"{page}: the link {target} leads out of the repository")
    return path


def relative(page: str, target: str) -> str:
    """The link from one page of the site to another, both by their place in it."""
    return os.path.relpath(page, PurePosixPath(target).parent)
