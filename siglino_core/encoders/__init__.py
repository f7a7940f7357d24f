"""Frozen encoders of images: one file each, found by a short name.

`describe` says what a run must know of one, `load` builds it. Network libraries are imported where a network is built:
they take seconds, and most processes of a run need none.
"""

from types import ModuleType
from typing import TYPE_CHECKING

from siglino_core.config import EmbedConfig
from siglino_core.encoders import dinov3, efficientnet_lite, timm_model
from siglino_core.encoders.card import Card
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.errors import ConfigError

if TYPE_CHECKING:
    from siglino_core.encoders.encoder import Encoder

__all__ = ["Card", "Preprocess", "describe", "load"]

ENCODERS = {"dinov3": dinov3, "timm": timm_model, "efficientnet_lite0": efficientnet_lite}


def describe(config: EmbedConfig) -> Card:
    """The card of the encoder that ``config.encoder`` names.

    That is ``efficientnet_lite0``, ``timm:<model>`` or ``dinov3:<hub id or folder>``.

    Raises:
        ConfigError: no such encoder, or its weights cannot be had.
    """
    return _module(config).describe(config)


def load(config: EmbedConfig, device: str = "cpu", precision: str = "auto") -> "Encoder":
    """The encoder itself, ready to compute; raises as :func:`describe`."""
    return _module(config).load(config, device, precision)


def _module(config: EmbedConfig) -> ModuleType:
    kind, _, name = config.encoder.partition(":")
    if kind not in ENCODERS or bool(name) != (kind != "efficientnet_lite0"):
        raise ConfigError(
            f"embed.encoder={config.encoder}: not one of efficientnet_lite0, timm:<model>, dinov3:<hub id or folder>"
        )
    return ENCODERS[kind]
