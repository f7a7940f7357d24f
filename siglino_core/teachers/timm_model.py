"""Any timm model as an encoder: pooled features, with the model's own preprocessing."""

import timm
from timm.data.config import resolve_model_data_config

from siglino_core.config import EmbedConfig
from siglino_core.errors import ConfigError
from siglino_core.teachers.base import Encoder, Preprocess


class TimmEncoder(Encoder):
    """``timm:<name>``; weights from ``embed.weights`` (safetensors, or a .pth read with weights_only) or timm's own."""

    def __init__(self, name: str, config: EmbedConfig, device: str, precision: str) -> None:
        try:
            model = timm.create_model(
                name, pretrained=not config.weights, num_classes=0, checkpoint_path=config.weights or ""
            )
        except Exception as e:  # timm raises RuntimeError, OSError, and the hub's own
            raise ConfigError(
                f"embed.encoder=timm:{name}: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}. "
                "Check the name with timm.list_models(), or give embed.weights=FILE."
            ) from e
        data = resolve_model_data_config(model)
        super().__init__(
            model,
            Preprocess(size=config.image_size or data["input_size"][-1], crop_share=data["crop_pct"]),
            dim=int(model.num_features),  # type: ignore[arg-type]
            mean=data["mean"],
            std=data["std"],
            device=device,
            precision=precision,
        )
