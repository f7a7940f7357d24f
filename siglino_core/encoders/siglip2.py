"""SigLIP2 NaFlex through transformers: its pooled output, of images squeezed into a square."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from siglino_core.encoders.card import Card
from siglino_core.encoders.flops import vit_flops, vit_parameters
from siglino_core.encoders.hub import Checkpoint, config_of
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.encoders.spec import Spec
from siglino_core.errors import ConfigError

if TYPE_CHECKING:
    from siglino_core.encoders.encoder import Encoder

NAME, KINDS = "siglip2", ("siglip2", "siglip2_vision_model")
HALF = (0.5, 0.5, 0.5)
DEFAULTS = {  # transformers' own, which a checkpoint's file may leave out
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "intermediate_size": 3072,
    "patch_size": 16,
}


def describe(spec: Spec) -> Card:
    """The card of a hub id's or local folder's checkpoint, of both towers or of the vision tower alone."""
    checkpoint = checkpoint_of(spec)
    return card_of(vision_of(checkpoint.config), checkpoint.identity, spec.image_size)


def outline(spec: Spec) -> Card:
    """The card without the weights' identity: a hub id's is known, or its configuration alone is fetched."""
    return card_of(vision_of(config_of(spec.source, spec.asked, *KINDS)), "", spec.image_size)


def load(spec: Spec, device: str, precision: str) -> "Encoder":
    """The vision tower's attention pooling. Safetensors alone, no code of the checkpoint's."""
    import torch
    from transformers import Siglip2VisionModel

    from siglino_core.encoders.encoder import Encoder
    from siglino_core.models.patches import patchify

    checkpoint = checkpoint_of(spec)
    card = card_of(vision_of(checkpoint.config), checkpoint.identity, spec.image_size)
    model = checkpoint.load(Siglip2VisionModel)

    def features(pixels_B3HW: torch.Tensor) -> torch.Tensor:
        side = pixels_B3HW.shape[-1] // card.patch_size
        patches = patchify(pixels_B3HW, card.patch_size)
        shapes = torch.tensor([[side, side]] * len(patches), device=patches.device)
        return model(patches, torch.ones(patches.shape[:2], device=patches.device), shapes).pooler_output

    return Encoder(model, card, mean=HALF, std=HALF, device=device, precision=precision, features=features)


def checkpoint_of(spec: Spec) -> Checkpoint:
    """Its files; raises ConfigError if they cannot be had, or are another model's."""
    return Checkpoint(spec.source, spec.asked, *KINDS)


def vision_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The vision tower's part, with transformers' defaults where the file leaves them out."""
    return {**DEFAULTS, **config.get("vision_config", config)}


def card_of(config: Mapping[str, Any], identity: str, image_size: int = 0) -> Card:
    """The card of the vision tower's configuration.

    Raises:
        ConfigError: the image's side is no multiple of the patch.
    """
    patch = config["patch_size"]
    size = image_size or 16 * patch
    if size % patch:
        raise ConfigError(f"embed.image_size={size} is not a multiple of the encoder's patch, {patch}")
    return Card(
        name=NAME,
        dim=config["hidden_size"],
        identity=identity,
        pooled=True,
        patch_size=patch,
        preprocess=Preprocess(size=size, fit="squash"),
        flops=vit_flops(config, pooled=True),
        parameters=vit_parameters(config, pooled=True),
    )
