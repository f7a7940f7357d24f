"""DINOv3 through transformers: the encoder that curates (ViT-B/16, 768 wide, in the paper)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from siglino_core.config import Pooling
from siglino_core.encoders.card import Card
from siglino_core.encoders.flops import vit_flops, vit_parameters
from siglino_core.encoders.hub import Checkpoint, config_of
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.encoders.spec import Spec
from siglino_core.errors import ConfigError

if TYPE_CHECKING:
    from siglino_core.encoders.encoder import Encoder

NAME, KIND = "dinov3", "dinov3_vit"
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def describe(spec: Spec) -> Card:
    """The card of ``dinov3:<hub id or local folder>``; its identity is that of the files, configuration included."""
    checkpoint = checkpoint_of(spec)
    return card_of(checkpoint.config, checkpoint.identity, spec.image_size)


def outline(spec: Spec) -> Card:
    """The card without the weights' identity: a hub id's is known, or its configuration alone is fetched."""
    return card_of(config_of(spec.source, spec.asked, KIND), "", spec.image_size)


def load(spec: Spec, device: str, precision: str) -> "Encoder":
    """CLS after the final norm, or the mean of the patches. Safetensors alone, no code of the checkpoint's."""
    from transformers import DINOv3ViTModel

    from siglino_core.encoders.encoder import Encoder

    checkpoint = checkpoint_of(spec)
    card = card_of(checkpoint.config, checkpoint.identity, spec.image_size)
    model = checkpoint.load(DINOv3ViTModel)
    prefix = 1 + model.config.num_register_tokens

    def features(pixels_B3HW):  # type: ignore[no-untyped-def]
        states = model(pixel_values=pixels_B3HW).last_hidden_state
        return states[:, 0] if spec.pooling is Pooling.CLS else states[:, prefix:].float().mean(1)

    return Encoder(
        model, card, mean=IMAGENET_MEAN, std=IMAGENET_STD, device=device, precision=precision, features=features
    )


def checkpoint_of(spec: Spec) -> Checkpoint:
    """Its files; raises ConfigError if they cannot be had, or are another model's."""
    return Checkpoint(spec.source, spec.asked, KIND)


def card_of(config: Mapping[str, Any], identity: str, image_size: int = 0) -> Card:
    """The card of a configuration.

    Raises:
        ConfigError: the image's side is no multiple of the patch.
    """
    size, patch, registers = image_size or 224, config.get("patch_size", 16), config.get("num_register_tokens", 0)
    if size % patch:
        raise ConfigError(f"embed.image_size={size} is not a multiple of the encoder's patch, {patch}")
    return Card(
        name=NAME,
        dim=config["hidden_size"],
        identity=identity,
        registers=registers,
        patch_size=patch,
        preprocess=Preprocess(size=size),
        flops=vit_flops(config, prefix=1 + registers),
        parameters=vit_parameters(config),
    )
