"""DINOv3 through transformers: the encoder that curates (ViT-B/16, 768 wide, in the paper)."""

from typing import TYPE_CHECKING

from siglino_core.config import EmbedConfig, Pooling
from siglino_core.encoders.card import Card
from siglino_core.encoders.hub import Checkpoint
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.errors import ConfigError

if TYPE_CHECKING:
    from siglino_core.encoders.encoder import Encoder

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def describe(config: EmbedConfig) -> Card:
    """The card of ``dinov3:<hub id or local folder>``; its identity is that of the files, configuration included."""
    return _card(config, _checkpoint(config))


def load(config: EmbedConfig, device: str, precision: str) -> "Encoder":
    """CLS after the final norm, or the mean of the patches. Safetensors alone, no code of the checkpoint's."""
    from transformers import DINOv3ViTModel

    from siglino_core.encoders.encoder import Encoder

    checkpoint = _checkpoint(config)
    card = _card(config, checkpoint)
    model = checkpoint.load(DINOv3ViTModel)
    prefix = 1 + model.config.num_register_tokens

    def features(pixels_B3HW):  # type: ignore[no-untyped-def]
        states = model(pixel_values=pixels_B3HW).last_hidden_state
        return states[:, 0] if config.pooling is Pooling.CLS else states[:, prefix:].mean(1)

    return Encoder(
        model, card, mean=IMAGENET_MEAN, std=IMAGENET_STD, device=device, precision=precision, features=features
    )


def _checkpoint(config: EmbedConfig) -> Checkpoint:
    return Checkpoint(config.encoder.partition(":")[2], f"embed.encoder={config.encoder}", "dinov3_vit")


def _card(config: EmbedConfig, checkpoint: Checkpoint) -> Card:
    size, patch = config.image_size or 224, checkpoint.config.get("patch_size", 16)
    if size % patch:
        raise ConfigError(f"embed.image_size={size} is not a multiple of the encoder's patch, {patch}")
    return Card(
        identity=checkpoint.identity,
        preprocess=Preprocess(size=size),
        dim=checkpoint.config["hidden_size"],
    )
