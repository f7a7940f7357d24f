"""One linear layer per group of rows: what a mixture of experts computes.

Legend: N rows sorted by group, K values in, M values out, E groups.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

try:
    from .grouped_triton import grouped_linear_triton
except ImportError:  # no Triton: it comes with torch's CUDA builds for Linux
    grouped_linear_triton = None

Product = Literal["auto", "torch", "triton", "loop"]


def grouped_linear(x: Tensor, w: Tensor, offsets: Tensor, backend: Product = "auto") -> Tensor:
    """x[rows of group e] @ w[e]^T for each group.

    Args:
        x: [N, K], the rows of group 0 first.
        w: [E, M, K].
        offsets: int32 [E], where each group ends; the last is N.
        backend: ``torch`` (its grouped product), ``triton`` (ours, for CUDA of SM80 and later), ``loop`` (a product
            per group: anywhere, any precision), or ``auto``.

    Returns:
        [N, M].

    Raises:
        ValueError: an unknown backend, or one that isn't there.
    """
    if backend == "auto":
        backend = _best(x, w)
    if backend == "torch":
        return F.grouped_mm(x, w.transpose(1, 2), offs=offsets)
    if backend == "triton":
        if grouped_linear_triton is None:
            raise ValueError("backend='triton': Triton is not installed. Use backend='auto'.")
        return grouped_linear_triton(x, w, offsets)
    if backend == "loop":
        sizes = offsets.diff(prepend=offsets.new_zeros(1)).tolist()
        return torch.cat([F.linear(part, w_MK) for part, w_MK in zip(x.split(sizes), w, strict=True)])
    raise ValueError(f"backend={backend!r}: one of auto, torch, triton, loop")


def traceable(x_NK: Tensor, w_EMK: Tensor) -> bool:
    """Whether a trace has a product for groups on this device and in this precision."""
    return _best(x_NK, w_EMK) != "loop"


def _best(x_NK: Tensor, w_EMK: Tensor) -> Product:
    """torch's product is one fused kernel on SM90 and quick on CPUs; on SM80 it is a loop that waits for the host."""
    if torch.compiler.is_exporting():
        return "loop"
    aligned = all(n * x_NK.element_size() % 16 == 0 for n in w_EMK.shape[1:])
    if x_NK.device.type == "cuda":
        if x_NK.dtype == torch.bfloat16 and aligned and torch.cuda.get_device_capability(x_NK.device) == (9, 0):
            return "torch"
        return "triton" if grouped_linear_triton is not None and x_NK.dtype != torch.float64 else "loop"
    # On CPUs it is exact in fp32 too, but a trace refuses that.
    fits = (torch.bfloat16,) if torch.compiler.is_compiling() else (torch.float32, torch.bfloat16)
    return "torch" if x_NK.device.type == "cpu" and x_NK.dtype in fits and aligned else "loop"
