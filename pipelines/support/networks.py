"""Networks of a stage: teachers that go together; and a finished stage is found without them, wherever they lie."""

from collections.abc import Sequence
from typing import Any

from siglino_core.encoders.card import Card
from siglino_core.errors import ConfigError
from siglino_core.networks import describe
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


def cards_of(specs: Sequence[str]) -> list[Card]:
    """The teachers' cards.

    Raises:
        ConfigError: one cannot be had, or they do not go together.
    """
    cards = [describe(spec) for spec in specs]
    names = [card.name for card in cards]
    if len(set(names)) < len(names):
        raise ConfigError(f"targets.teachers: two are named alike ({', '.join(names)}); a name is a student's head")
    if len({card.patch_size for card in cards}) > 1:
        sizes = ", ".join(f"{card.name} {card.patch_size}" for card in cards)
        raise ConfigError(f"targets.teachers: patches of several sizes ({sizes} pixels); the student's grid is one")
    return cards
