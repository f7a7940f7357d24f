"""Buffers that stay fp32 when a model is cast."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class KeepsFp32:
    """Mixed in before ``nn.Module``: the buffers named in ``keeps_fp32`` follow a move, but not a change of precision.

    Steps of 1e-3 would be lost in a bf16 balancing bias, and positions blurred by bf16 frequencies.
    """

    keeps_fp32: tuple[str, ...] = ()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = {name: getattr(self, name) for name in self.keeps_fp32}
        super()._apply(fn, recurse)  # type: ignore[misc]
        for name, old in before.items():
            new = getattr(self, name)
            if new.dtype != old.dtype and old.dtype == torch.float32:
                setattr(self, name, old.to(new.device))
        return self
