"""A finished stage is found without its networks: they may lie on other machines, or nowhere any more."""

from collections.abc import Sequence
from typing import Any

from siglino_core.store import Manifest, Stage


def as_finished(stage: Stage, asked: Sequence[str], redo: str) -> dict[str, Any] | None:
    """The config that a finished stage was made by, if its networks were asked for by the same words.

    Args:
        redo: as in `siglino_core.store.Stage.begin`; ``always`` needs the networks themselves.
    """
    manifest = stage.manifest() if redo != "always" else None
    return manifest.identity["config"] if manifest is not None and same_words(manifest, asked) else None


def same_words(manifest: Manifest, asked: Sequence[str]) -> bool:
    """Whether the stage's networks were asked for so."""
    return manifest.facts.get("asked") == list(asked)
