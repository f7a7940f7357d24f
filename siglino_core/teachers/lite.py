"""EfficientNet-Lite0's feature map at stride 16, 112 wide: the demo's dense teacher, in DINOv3's place.

A supervised ImageNet network of 2020 (Tan and Le, 2019, arXiv:1905.11946), fully convolutional, so that it takes any
grid: real patches that pip installs, and no DINOv3 in miniature.

Legend: B images, N patches of all images, V values of a patch, C width, H and W the grid.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from siglino_core.encoders import efficientnet_lite
from siglino_core.encoders.card import Card
from siglino_core.encoders.efficientnet_lite import LITE0, squeezed
from siglino_core.encoders.flops import Flops
from siglino_core.encoders.spec import Spec
from siglino_core.teachers.by_shape import batches
from siglino_core.teachers.teacher import Targets

NAME, DIM = "lite", 112
RECIPE = 1  # goes up when the same weights give other targets
STAGES = 5  # the last of them is blocks[4], at stride 16
FLOPS_A_PATCH = 2_482_336.0
PARAMETERS = 700_768


def describe(spec: Spec | None = None) -> Card:
    """The card; its identity is that of the weights, which come with a package.

    Raises:
        ConfigError: the weights aren't installed, or aren't the known ones.
    """
    return _card(spec, hashlib.sha256(f"{NAME} {RECIPE} {efficientnet_lite.identity(LITE0)}".encode()).hexdigest()[:32])


def outline(spec: Spec) -> Card:
    """The card without the weights' identity."""
    return _card(spec, "")


def load(spec: Spec | None = None, device: str = "cpu", dtype: torch.dtype = torch.float32) -> "Lite":
    """The teacher, ready to compute; raises as :func:`describe`."""
    return Lite(device, dtype, describe(spec))


def _card(spec: Spec | None, identity: str) -> Card:
    return Card(
        name=NAME,
        dim=DIM,
        identity=identity,
        preprocess=squeezed(spec),
        flops=Flops(linear=FLOPS_A_PATCH),
        parameters=PARAMETERS,
    )


class Lite:
    """The map's places as patches, and their mean, in fp32, as the summary."""

    def __init__(self, device: str, dtype: torch.dtype, card: Card) -> None:
        self.card = card
        network = efficientnet_lite.network(LITE0)
        layers = torch.nn.Sequential(network.conv_stem, network.bn1, *network.blocks[:STAGES])  # type: ignore[index]
        self.trunk = layers.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        weight = next(self.trunk.parameters())
        features: dict[int, Tensor] = {}
        for places, pixels_B3HW in batches(patches_NV.to(weight.device, weight.dtype), shapes, self.card.patch_size):
            maps_BCHW = self.trunk(pixels_B3HW)
            features |= zip(places, maps_BCHW.flatten(2).mT, strict=True)
        maps = [features[i] for i in range(len(shapes))]
        return Targets(torch.stack([map_NC.mean(0, dtype=torch.float32) for map_NC in maps]), torch.cat(maps))
