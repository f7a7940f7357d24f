"""DINOv3 through transformers: the encoder that curates (ViT-B/16, 768 wide, in the paper)."""

import torch
from transformers import AutoModel
from transformers.utils.logging import disable_progress_bar

from siglino_core.config import EmbedConfig, Pooling
from siglino_core.errors import ConfigError
from siglino_core.teachers.base import Encoder, Preprocess

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class DINOv3(Encoder):
    """``dinov3:<hub id or local folder>``; CLS after the final norm, or the mean of the patches. Safetensors alone."""

    def __init__(self, name: str, config: EmbedConfig, device: str, precision: str) -> None:
        disable_progress_bar()  # it would draw into the run's own display
        try:
            model = AutoModel.from_pretrained(name, use_safetensors=True, trust_remote_code=False)
        except (OSError, ValueError) as e:
            raise ConfigError(
                f"embed.encoder=dinov3:{name}: {str(e).splitlines()[0]} "
                "Give a local folder with config.json and model.safetensors, or log in to the hub."
            ) from e
        if model.config.model_type != "dinov3_vit":
            raise ConfigError(f"embed.encoder=dinov3:{name}: this is a {model.config.model_type}, not a dinov3_vit")
        size, patch = config.image_size or 224, model.config.patch_size
        if size % patch:
            raise ConfigError(f"embed.image_size={size} is not a multiple of the encoder's patch, {patch}")
        self._pooling = config.pooling
        self._prefix = 1 + model.config.num_register_tokens
        super().__init__(
            model,
            Preprocess(size=size),
            dim=model.config.hidden_size,
            mean=IMAGENET_MEAN,
            std=IMAGENET_STD,
            device=device,
            precision=precision,
        )

    def features(self, pixels_B3HW: torch.Tensor) -> torch.Tensor:
        states = self._model(pixel_values=pixels_B3HW).last_hidden_state
        return states[:, 0] if self._pooling is Pooling.CLS else states[:, self._prefix :].mean(1)
