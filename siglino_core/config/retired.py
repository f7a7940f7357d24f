"""Settings and values of earlier versions that are no more, and what to do instead."""

from typing import Any

_SORTED = "sorted packs across steps, which gave large images more weight; leave it out: step, the default, does not"
RETIRED = {
    "train.pack.window": "packs are sorted inside a step now, and no setting says over how many; leave it out",
    "train.pack.match=global": _SORTED,
    "train.pack.match=shards": _SORTED,
    "sample.quota=radius": "is called global now, and goes with every pick",
}
RENAMED = {"sample.quota=radius": "global"}  # of these, values that say the same by another name


def retired(key: str, value: Any = None) -> str | None:
    """What to do instead of a setting, or of a setting's value, of an earlier version; None: there was none such."""
    return RETIRED.get(key) or RETIRED.get(f"{key}={value}")


def without_retired(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings as an earlier version kept them, by today's names, less those that are no more: these have defaults."""
    named = {k: RENAMED.get(f"{prefix}{k}={v}", v) for k, v in values.items()}
    return {
        k: without_retired(v, f"{prefix}{k}.") if isinstance(v, dict) else v
        for k, v in named.items()
        if not retired(f"{prefix}{k}", v)
    }
