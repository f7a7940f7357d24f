"""Networks on the meta device, built by the libraries themselves, and torch's own count of their operations."""

from collections.abc import Callable
from typing import Any

import open_clip
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DINOv3ViTConfig, DINOv3ViTModel, Siglip2VisionConfig, Siglip2VisionModel

from siglino_core.encoders.published import PUBLISHED
from siglino_core.models.patches import patchify


def counted(compute: Callable[[], Any]) -> float:
    """FLOPs of a call, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        compute()
    return float(counter.get_total_flops())


def network(spec: str) -> tuple[torch.nn.Module, Callable[[torch.Tensor], Any]]:
    """The network that a spec names, without weights, and what it does to pixels [B, 3, H, W]."""
    kind, _, source = spec.partition(":")
    with torch.device("meta"):
        model, call = _built(kind, source)
    return model.eval().requires_grad_(False), call


def image_flops(spec: str, height: int, width: int) -> float:
    """Of one image in the network that a spec names."""
    _, call = network(spec)
    return counted(lambda: call(torch.zeros(1, 3, height, width, device="meta")))


def _built(kind: str, source: str) -> tuple[torch.nn.Module, Callable[[torch.Tensor], Any]]:
    if kind == "dinov3":
        model: Any = DINOv3ViTModel(DINOv3ViTConfig(**_shape(source)))
        return model, model
    if kind == "siglip2":
        model = Siglip2VisionModel(Siglip2VisionConfig(**_shape(source)))
        return model, lambda pixels: _siglip2(model, pixels)
    if kind == "timm":
        model = timm.create_model(source, num_classes=0)
        return model, model
    if kind == "open_clip":
        model = open_clip.create_model(source, load_weights=False, device="meta").visual
        return model, model
    model = timm.create_model("tf_efficientnet_lite0", num_classes=1000 if kind == "lite_text" else 0)
    if kind == "lite":
        model = torch.nn.Sequential(model.conv_stem, model.bn1, *model.blocks[:5])
    return model, model


def _shape(source: str) -> dict[str, Any]:
    return {k: v for k, v in PUBLISHED[source].items() if k != "model_type"}


def _siglip2(model: Any, pixels: torch.Tensor) -> Any:
    """Its own layers; its positions, which are looked up on the host, cost next to nothing."""
    patches = patchify(pixels, 16)
    states = model.encoder(inputs_embeds=model.embeddings.patch_embedding(patches)).last_hidden_state
    return model.head(model.post_layernorm(states))
