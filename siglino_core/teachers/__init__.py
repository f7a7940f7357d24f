"""Frozen encoders of images: one file each, found by a short name."""

from siglino_core.config import EmbedConfig
from siglino_core.errors import ConfigError
from siglino_core.teachers.base import Encoder, Preprocess

__all__ = ["Encoder", "Preprocess", "load"]


def load(config: EmbedConfig, device: str = "cpu", precision: str = "auto") -> Encoder:
    """The encoder that ``config.encoder`` names: ``efficientnet_lite0``, ``timm:<model>`` or ``dinov3:<id or folder>``.

    Raises:
        ConfigError: no such encoder, or its weights cannot be had.
    """
    kind, _, name = config.encoder.partition(":")
    if kind == "efficientnet_lite0":
        from siglino_core.teachers.efficientnet_lite import EfficientNetLite0

        return EfficientNetLite0(config, device, precision)
    if kind == "timm" and name:
        from siglino_core.teachers.timm_model import TimmEncoder

        return TimmEncoder(name, config, device, precision)
    if kind == "dinov3" and name:
        from siglino_core.teachers.dinov3 import DINOv3

        return DINOv3(name, config, device, precision)
    raise ConfigError(
        f"embed.encoder={config.encoder}: not one of efficientnet_lite0, timm:<model>, dinov3:<hub id or folder>"
    )
