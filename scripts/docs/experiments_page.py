"""The experiments' page: what each is, on what hardware, how long, and what to expect, from their files' heads."""

import re
from pathlib import Path

INTRODUCTION = """# Experiments

Named configs that ship: `experiment=NAME` on a command. Below each: what of the defaults it changes.
"""


def header(text: str) -> dict[str, list[str]]:
    """The head of an experiment's file: every word before a colon with its lines."""
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if match := re.match(r"# ([A-Z]\w*): +(.*)", line):
            sections[match[1]] = [match[2]]
        elif sections:
            sections[list(sections)[-1]].append(line[1:].strip())
    return sections


def experiments_page(folder: Path) -> str:
    """The page as Markdown.

    Raises:
        ValueError: an experiment's file doesn't say what it is.
    """
    return "\n".join([INTRODUCTION, *(_section(path) for path in sorted(folder.glob("*.yaml")))])


def _section(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    head = header(text)
    if "What" not in head:
        raise ValueError(f"{path}: its head doesn't say what the experiment is (# What: ...)")
    commands = "\n".join(head.pop("Command", []))
    facts = "".join(f"- **{name}**: {_one(lines)}\n" for name, lines in head.items())
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return f"## `{path.stem}`\n\n{facts}\n```sh\n{commands}\n```\n\n```yaml\n{body}\n```\n"


def _one(lines: list[str]) -> str:
    """One paragraph, in which nothing is a mark of Markdown."""
    return re.sub(r"([*_<>|])", r"\\\1", " ".join(lines))
