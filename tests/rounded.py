"""Sums as CUDA's atomic additions make them: each addition rounded to the precision of what it adds to.

A CPU adds up in more precision than it answers in, so that no sum in bf16 would be noticed there.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

HALF = (torch.bfloat16, torch.float16)
ADDS = ("aten::index_add", "aten::index_add_", "aten::scatter_add", "aten::scatter_add_", "aten::index_put_")


class RoundedSums(TorchDispatchMode):
    """While it is on, ``index_add`` of half precision rounds every addition.

    Attributes:
        summed: the precisions of all sums by index so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.summed: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name not in ADDS or (name == "aten::index_put_" and not (len(args) > 3 and args[3])):
            return func(*args, **(kwargs or {}))
        self.summed.add(args[0].dtype)
        if args[0].dtype not in HALF or "index_add" not in name:
            return func(*args, **(kwargs or {}))
        return _one_by_one(args[0] if name.endswith("_") else args[0].clone(), *args[1:])


def _one_by_one(out: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    assert dim == 0
    for row, place in enumerate(index.tolist()):
        out[place] += source[row]
    return out
