"""Encoders as a config's `embed` asks for them."""

from typing import Any

from siglino_core.config import EmbedConfig
from siglino_core.encoders import Card, Spec
from siglino_core.networks import describe as card_of
from siglino_core.networks import load_encoder


def describe(config: EmbedConfig) -> Card:
    return card_of(Spec.of(config))


def load(config: EmbedConfig) -> Any:
    return load_encoder(Spec.of(config))
