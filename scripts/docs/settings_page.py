"""The settings page: every setting with its type, default, range and sentence, from the config dataclasses."""

import dataclasses
import json
import typing
from collections.abc import Iterator
from typing import Any

from scripts.docs.tables import code, table, words
from siglino_core.config import Config, to_dict
from siglino_core.config.settings import says

INTRODUCTION = """# Settings

`siglino config` prints all of them for an experiment; a command sets them as `KEY=VALUE`; a misspelt one is refused.

*Shapes the bytes*: with another value a stage writes other bytes, so it refuses what was made with the first one, and
names the setting. The others say where and how fast the work is done.
"""
HEAD = ("setting", "type", "default", "range", "shapes the bytes", "what it is")


def settings_page(root: type = Config) -> str:
    """The page as Markdown.

    Raises:
        ValueError: a setting has no sentence, or a group of settings has none.
    """
    return "\n".join([INTRODUCTION, *_sections(root, "")])


def _sections(cls: Any, prefix: str) -> Iterator[str]:
    hints, rows, below = typing.get_type_hints(cls), [], []
    defaults = to_dict(cls())
    for f in dataclasses.fields(cls):
        kind, key = hints[f.name], f"{prefix}{f.name}"
        many = next((k for k in typing.get_args(kind) if dataclasses.is_dataclass(k)), None)
        if dataclasses.is_dataclass(kind):
            below.append((kind, f"{key}."))
            continue
        if not f.metadata.get("doc"):
            raise ValueError(f"{cls.__name__}.{f.name}: a setting without a sentence")
        below += [(many, f"{key}[].")] if many else []
        rows.append(_row(key, kind, defaults[f.name], f.metadata))
    title = f"`{prefix.rstrip('.')}`" if prefix else "Of all stages"
    yield f"## {title}\n\n{_first_line(cls)}\n\n{table(HEAD, rows)}\n"
    for kind, longer in below:
        yield from _sections(kind, longer)


def _first_line(cls: type) -> str:
    doc = cls.__doc__ or ""
    if not doc or doc.startswith(f"{cls.__name__}("):  # what dataclasses write where nobody did
        raise ValueError(f"{cls.__name__}: a group of settings without a sentence")
    return doc.splitlines()[0]


def _row(key: str, kind: Any, default: Any, meta: Any) -> list[str]:
    shapes = "yes" if meta.get("shapes", True) else "no"
    return [code(key), words(says(kind)), code(json.dumps(default)), words(_range(meta)), shapes, words(meta["doc"])]


def _range(meta: Any) -> str:
    low, high = (None if meta.get(k) is None else _number(meta[k]) for k in ("ge", "le"))
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"from {low}" if low is not None else f"up to {high}" if high is not None else ""


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
