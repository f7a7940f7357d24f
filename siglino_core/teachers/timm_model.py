"""Any timm model as an encoder: pooled features, with the model's own preprocessing."""

import timm
import torch
from timm.data.config import resolve_model_data_config
from timm.models import load_state_dict

from siglino_core.config import EmbedConfig
from siglino_core.errors import ConfigError
from siglino_core.teachers.base import Encoder, Preprocess


class TimmEncoder(Encoder):
    """``timm:<name>``; weights from ``embed.weights`` (safetensors, or a .pth read with weights_only) or timm's own."""

    def __init__(self, name: str, config: EmbedConfig, device: str, precision: str) -> None:
        try:
            model = timm.create_model(name, pretrained=not config.weights, num_classes=0)
            if config.weights:
                _load(model, config.weights)
        except Exception as e:  # timm raises RuntimeError, OSError, and the hub's own
            raise ConfigError(
                f"embed.encoder=timm:{name}: {type(e).__name__}: {' '.join(str(e).split())[:300]}. "
                "Check the name with timm.list_models(), or give embed.weights=FILE."
            ) from e
        data = resolve_model_data_config(model)
        size = config.image_size or data["input_size"][-1]
        super().__init__(
            model,
            Preprocess(size=size, crop_share=data["crop_pct"]),
            dim=_width(model, size),
            mean=data["mean"],
            std=data["std"],
            device=device,
            precision=precision,
        )


def _load(model: torch.nn.Module, path: str) -> None:
    """Every weight from the file, but for the classifier that the file may have and an encoder has not."""
    named = model.pretrained_cfg.get("classifier") or ()  # type: ignore[union-attr]
    heads = tuple(f"{n}." for n in ([named] if isinstance(named, str) else named))
    own = model.state_dict()
    weights = {k: v for k, v in load_state_dict(path).items() if k in own or not k.startswith(heads)}
    model.load_state_dict(weights, strict=True)


@torch.inference_mode()
def _width(model: torch.nn.Module, size: int) -> int:
    """How wide the features are: asked of the network, since some have a layer behind ``num_features``."""
    return model.eval()(torch.zeros(1, 3, size, size)).shape[-1]
