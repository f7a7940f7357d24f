"""What stays fp32 when a model is cast: small tensors whose rounding would show in every token.

Legend: x [..., D], D channels.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeepsFp32:
    """Mixed in before ``nn.Module``: the tensors named in ``keeps_fp32`` follow a move, but not into less precision.

    Steps of 1e-3 would be lost in a bf16 balancing bias, and positions blurred by bf16 frequencies; a bf16 gate sends
    tokens to other experts. A tensor that is in less precision already is cast like any other.
    """

    keeps_fp32: tuple[str, ...] = ()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        named = [getattr(self, name) for name in self.keeps_fp32]
        kept = [t for t in named if t is not None]
        kept += [t.grad for t in kept if t.grad is not None]

        def moved(tensor: Tensor) -> Tensor:
            new = fn(tensor)
            less = tensor.dtype == torch.float32 and torch.promote_types(new.dtype, tensor.dtype) != new.dtype
            return tensor.to(new.device) if less and any(tensor is k for k in kept) else new

        return super()._apply(moved, recurse)  # type: ignore[misc]


def exact_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that stay fp32: of routers' gates, sinks and norms; in the model's order."""
    keepers = [m for m in model.modules() if isinstance(m, KeepsFp32)]
    named = [getattr(m, name) for m in keepers for name in m.keeps_fp32]
    return [p for p in named if isinstance(p, nn.Parameter)]


class Fp32Linear(KeepsFp32, nn.Linear):
    """A linear layer that computes and answers in fp32 at least, whatever its weights are cast to."""

    keeps_fp32 = ("weight", "bias")

    def forward(self, input: Tensor) -> Tensor:
        dtype = _at_least_fp32(input)
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.to(dtype), self.weight.to(dtype), _to(self.bias, dtype))


class RMSNorm(KeepsFp32, nn.RMSNorm):
    """``nn.RMSNorm``, with weights and computing in fp32 at least; rounded once, to the input's precision."""

    keeps_fp32 = ("weight",)

    def forward(self, x: Tensor) -> Tensor:
        dtype = _at_least_fp32(x)
        return F.rms_norm(x.to(dtype), self.normalized_shape, _to(self.weight, dtype), self.eps).to(x.dtype)


class LayerNorm(KeepsFp32, nn.LayerNorm):
    """``nn.LayerNorm``, with weights and computing in fp32 at least; rounded once, to the input's precision."""

    keeps_fp32 = ("weight", "bias")

    def forward(self, input: Tensor) -> Tensor:
        dtype = _at_least_fp32(input)
        weight, bias = _to(self.weight, dtype), _to(self.bias, dtype)
        return F.layer_norm(input.to(dtype), self.normalized_shape, weight, bias, self.eps).to(input.dtype)


def _at_least_fp32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _to(x: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if x is None else x.to(dtype)
