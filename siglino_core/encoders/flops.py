"""What an image costs in a frozen network: FLOPs by its area, and how many weights there are. For prices alone."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from siglino_core.errors import ConfigError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Flops:
    """FLOPs of one image of n patches: ``constant + linear n + quadratic n^2``; a product and a sum are two.

    Convolutions have a linear part alone, of nominal patches; attention has a quadratic one.

    Attributes:
        patch_size: side of the patches that are counted, in pixels.

    Raises:
        ConfigError: a number that is none, or below 0.
    """

    constant: float = 0.0
    linear: float = 0.0
    quadratic: float = 0.0
    patch_size: int = 16

    def __post_init__(self) -> None:
        numbers = self.constant, self.linear, self.quadratic, self.patch_size
        if not all(math.isfinite(n) for n in numbers) or self.patch_size < 1 or self(224**2) < 0:
            raise ConfigError(f"{self}: finite numbers, whose sum is not below 0")

    def __call__(self, pixels: float) -> float:
        """Of an image of so many pixels."""
        n = pixels / self.patch_size**2
        return self.constant + self.linear * n + self.quadratic * n * n


def vit_flops(config: Mapping[str, Any], *, prefix: int = 0, pooled: bool = False) -> Flops:
    """Those of a vision transformer, from its config as transformers writes it.

    Args:
        prefix: tokens beside the patches.
        pooled: a learned probe attends to the last tokens, and a hidden layer follows (SigLIP2's attention pooling).
    """
    width, layers, hidden, patch = _sizes(config)
    a_token = 2.0 * layers * (4 * width**2 + _products(config) * width * hidden)
    a_pair = 4.0 * width * layers
    constant, linear = 0.0, a_token
    if pooled:
        constant += 4.0 * width**2 + 4.0 * width * hidden
        linear += 4.0 * width**2 + 4.0 * width
    # (n + prefix)^2, multiplied out; patches alone are embedded.
    return Flops(
        constant=constant + prefix * a_token + prefix**2 * a_pair,
        linear=linear + 2 * prefix * a_pair + 6.0 * patch**2 * width,
        quadratic=a_pair,
        patch_size=patch,
    )


def vit_parameters(config: Mapping[str, Any], *, pooled: bool = False) -> int:
    """Its weights, less biases, norms and positions: within a hundredth or two of all of them."""
    width, layers, hidden, patch = _sizes(config)
    pooling = 4 * width**2 + 2 * width * hidden if pooled else 0
    return layers * (4 * width**2 + _products(config) * width * hidden) + 3 * patch**2 * width + pooling


def counted(network: "torch.nn.Module | Callable[..., Any]", side: int) -> float:
    """FLOPs of one image of ``side`` x ``side`` pixels, as torch counts them.

    Args:
        network: on the meta device, frozen: its shapes alone are computed.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, side, side, device="meta"))
    return float(counter.get_total_flops())


def fitted(network: "torch.nn.Module | Callable[..., Any]", sides: tuple[int, ...]) -> Flops:
    """The polynomial through torch's counts at one side (proportional to the area) or at three (exact)."""
    counts = [counted(network, side) for side in sides]
    if len(sides) == 1:
        return Flops(linear=counts[0] / (sides[0] / 16) ** 2)
    (a, b, c), (x, y, z) = ((side / 16) ** 2 for side in sides), counts
    slope, next_slope = (y - x) / (b - a), (z - y) / (c - b)
    quadratic = (next_slope - slope) / (c - a)
    linear = slope - quadratic * (a + b)
    return Flops(constant=x - linear * a - quadratic * a * a, linear=linear, quadratic=quadratic)


def _sizes(config: Mapping[str, Any]) -> tuple[int, int, int, int]:
    width, layers, hidden = (config[k] for k in ("hidden_size", "num_hidden_layers", "intermediate_size"))
    return width, layers, hidden, config.get("patch_size", 16)


def _products(config: Mapping[str, Any]) -> int:
    return 3 if config.get("use_gated_mlp") else 2
