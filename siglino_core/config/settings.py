"""How settings are declared, and how a config is built from plain values with all errors at once."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable
from dataclasses import field
from enum import Enum
from typing import Any, TypeVar

from siglino_core.config.credentials import faults
from siglino_core.config.retired import retired
from siglino_core.errors import ConfigError

T = TypeVar("T")


def setting(default: Any, doc: str, *, ge: float | None = None, le: float | None = None, shapes: bool = True) -> Any:
    """A config field: its default, a sentence, its range, and whether it shapes the artifacts' bytes."""
    meta = {"doc": doc, "ge": ge, "le": le, "shapes": shapes}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=meta)
    return field(default=default, metadata=meta)


def shaping(config: Any) -> dict[str, Any]:
    """The fields of a stage's config that shape its bytes, as plain values."""
    return {
        f.name: shaping(value) if dataclasses.is_dataclass(value := getattr(config, f.name)) else _plain(value)
        for f in dataclasses.fields(config)
        if f.metadata.get("shapes", True)
    }


def to_dict(config: Any) -> dict[str, Any]:
    """A config as nested plain values, as YAML has it."""
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def kinds(cls: type, prefix: str = "") -> dict[str, Any]:
    """The type of every setting of a config class, by its dotted key."""
    found: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(cls).items():
        nested = isinstance(kind, type) and dataclasses.is_dataclass(kind)
        found |= kinds(kind, f"{prefix}{name}.") if nested else {f"{prefix}{name}": kind}
    return found


def keys(cls: type) -> list[str]:
    """Every dotted key of a config class."""
    return list(kinds(cls))


def did_you_mean(key: str, known: list[str]) -> str:
    """`` (did you mean X?)`` or nothing."""
    tails = {k.rpartition(".")[2]: k for k in known}
    close = difflib.get_close_matches(key, known, 1, 0.6)
    close = close or [tails[t] for t in difflib.get_close_matches(key.rpartition(".")[2], list(tails), 1, 0.75)]
    return f" (did you mean {close[0]}?)" if close else ""


def build(cls: type[T], values: dict[str, Any], impossible: Callable[[T], list[str]]) -> T:
    """A config from nested plain values.

    Args:
        impossible: what of a built config cannot be, one line each.

    Raises:
        ConfigError: with every unknown key, wrong type and impossible value, one a line.
    """
    if secrets := faults(values):  # alone: another line might show them
        raise ConfigError("the config does not hold:", *(f"  {line}" for line in secrets))
    errors: list[str] = []
    config: Any = _build(cls, values, "", errors, keys(cls))
    errors += impossible(config)
    if errors:
        raise ConfigError("the config does not hold:", *(f"  {line}" for line in errors))
    return config


def _build(cls: Any, values: Any, prefix: str, errors: list[str], known: list[str]) -> Any:
    if not isinstance(values, dict):
        errors.append(f"{prefix.rstrip('.')}: expected settings, got {values!r}")
        return cls()
    hints = typing.get_type_hints(cls)
    errors += [_unknown(f"{prefix}{k}", known) for k in values if k not in hints]
    made: dict[str, Any] = {}
    for f in dataclasses.fields(cls):
        if f.name not in values:
            continue
        kind, value, key = hints[f.name], values[f.name], f"{prefix}{f.name}"
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            made[f.name] = _build(kind, value, f"{key}.", errors, known)
            continue
        if (item_class := _list_of_settings(kind)) and isinstance(value, list):
            made[f.name] = [_build(item_class, v, f"{key}[{i}].", errors, known) for i, v in enumerate(value)]
            continue
        try:
            made[f.name] = _convert(kind, value)
        except (TypeError, ValueError, OverflowError):
            mend = retired(key, value)
            errors.append(f"{key}={value}: {mend}" if mend else f"{key}: {value!r} is not {says(kind)}")
            continue
        errors += [f"{key}: {v!r} {fault}" for v in _items(made[f.name]) if (fault := _range_fault(v, f.metadata))]
    try:
        return cls(**made)
    except ValueError as e:  # what no single value shows
        reported = any(error.startswith(prefix) for error in errors)
        errors += [] if reported else [f"{prefix}{line}" for line in str(e).splitlines()]
        return cls()


def _unknown(key: str, known: list[str]) -> str:
    mend = retired(key)
    return f"{key}: {mend}" if mend else f"unknown key {key}{did_you_mean(key, known)}"


def _list_of_settings(kind: Any) -> Any:
    """The class, if a setting is a list of settings."""
    item_class = kind.__args__[0] if isinstance(kind, types.GenericAlias) else None
    return item_class if dataclasses.is_dataclass(item_class) else None


def _convert(kind: Any, value: Any) -> Any:
    if isinstance(kind, types.GenericAlias):
        if not isinstance(value, list | tuple):
            raise TypeError
        items = [_convert(kind.__args__[0], v) for v in value]
        return tuple(items) if kind.__origin__ is tuple else items
    if isinstance(kind, types.UnionType):  # a number or none
        return None if value is None else _convert(kind.__args__[0], value)
    if kind is bool and not isinstance(value, bool):
        raise TypeError
    if kind is int and (
        isinstance(value, bool) or not isinstance(value, int | float | str) or float(value) != int(float(value))
    ):
        raise TypeError
    if kind is float and isinstance(value, bool):
        raise TypeError
    if kind is str and not isinstance(value, str | int | float):
        raise TypeError
    return kind(float(value)) if kind is int and not isinstance(value, int) else kind(value)


def says(kind: Any) -> str:
    """What a setting of this type takes, in words."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(e.value) for e in kind)
    if isinstance(kind, types.UnionType):
        return f"{says(kind.__args__[0])} or none"
    if isinstance(kind, types.GenericAlias):
        item_class = kind.__args__[0]
        return "a list of " + {int: "whole numbers", float: "numbers", str: "texts"}.get(
            item_class, f"values, each {says(item_class)}"
        )
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, "settings")


def _items(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _range_fault(value: Any, meta: Any) -> str:
    if meta.get("ge") is not None and not value >= meta["ge"]:
        return f"is below {meta['ge']:g}"
    if meta.get("le") is not None and not value <= meta["le"]:
        return f"is above {meta['le']:g}"
    return ""


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value.value if isinstance(value, Enum) else value
