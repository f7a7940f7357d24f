"""The page of the benchmarks' history, from `docs/benchmarks.jsonl`: a JSON object a line, oldest first."""

import json
from pathlib import Path
from typing import Any

from scripts.docs.tables import table, words

INTRODUCTION = """# Benchmarks

What `make bench` measured, newest first; a line a measurement in `docs/benchmarks.jsonl`. [The log](LOG.md) says what
was measured on and what it means.
"""
NONE = "No measurement is recorded yet.\n"
NAMES = ("benchmark", "bench", "name")  # what a measurement is called by


def benchmarks_page(path: Path) -> str:
    """The page as Markdown, whether or not there is a history.

    Raises:
        ValueError: a line is no JSON object; it is named by its number.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    groups: dict[str, list[dict[str, str]]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        facts = _object(line, f"{path.name}, line {number}")
        key = next((n for n in NAMES if n in facts), None)
        groups.setdefault(str(facts.pop(key)) if key else "All", []).append(_flat(facts))
    return "\n".join([INTRODUCTION, *([NONE] if not groups else [_section(n, rows) for n, rows in groups.items()])])


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as e:
        raise ValueError(f"{where}: {e}") from e
    if not isinstance(value, dict):
        raise ValueError(f"{where}: not a JSON object")
    return value


def _flat(facts: dict[str, Any], prefix: str = "") -> dict[str, str]:
    cells: dict[str, str] = {}
    for name, value in facts.items():
        if isinstance(value, dict):
            cells |= _flat(value, f"{prefix}{name}.")
        else:
            cells[f"{prefix}{name}"] = f"{value:.4g}" if isinstance(value, float) else _plain(value)
    return cells


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _section(name: str, rows: list[dict[str, str]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[words(row.get(column, "")) for column in columns] for row in reversed(rows)]
    return f"## {words(name)}\n\n{table([words(c) for c in columns], cells)}\n"
