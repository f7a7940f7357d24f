"""The experts in three grouped products, on CUDA and in traces.

Legend: T tokens, D width, E experts, k experts per token, N = T * k rows sorted by expert, F hidden width of an expert.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .dispatch import by_expert
from .grouped import grouped_linear


def experts_grouped(
    x_TD: Tensor, w1_EFD: Tensor, w2_EDF: Tensor, w3_EFD: Tensor, gates_Tk: Tensor, chosen_Tk: Tensor
) -> Tensor:
    """As :func:`siglino_core.models.experts_loop.experts_loop`."""
    order_N, offsets_E = by_expert(chosen_Tk, len(w1_EFD))
    back_Tk = torch.empty_like(order_N).scatter_(0, order_N, torch.arange(order_N.shape[0], device=x_TD.device))
    back_Tk = back_Tk.view_as(gates_Tk)
    x_ND = _Dispatch.apply(x_TD, order_N, back_Tk)
    hidden_NF = F.silu(grouped_linear(x_ND, w1_EFD, offsets_E)) * grouped_linear(x_ND, w3_EFD, offsets_E)
    out_ND = grouped_linear(hidden_NF, w2_EDF, offsets_E)
    return _Combine.apply(out_ND, gates_Tk, order_N, back_Tk)  # type: ignore[no-any-return]


class _Dispatch(torch.autograd.Function):
    """x_ND: the tokens in the experts' order, each as often as it has experts.

    Its gradient sums by gathering, where indexing's own would scatter: no atomics, and the same bits every time.
    """

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, order_N: Tensor, back_Tk: Tensor) -> Tensor:
        ctx.save_for_backward(back_Tk)
        return x_TD.index_select(0, order_N // back_Tk.shape[1])

    @staticmethod
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return F.embedding_bag(ctx.saved_tensors[0], grad_ND, mode="sum"), None, None


class _Combine(torch.autograd.Function):
    """The weighted sum of each token's rows, [T, D] in the gates' precision, without the [T, k, D] that it sums over.

    Its gradients gather too: every row belongs to one token, which the sum's own backward pass would sort to find out.
    """

    @staticmethod
    def forward(ctx: Any, out_ND: Tensor, gates_Tk: Tensor, order_N: Tensor, back_Tk: Tensor) -> Tensor:
        ctx.save_for_backward(out_ND, gates_Tk, order_N, back_Tk)
        return F.embedding_bag(back_Tk, out_ND.to(gates_Tk.dtype), mode="sum", per_sample_weights=gates_Tk)

    @staticmethod
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        out_ND, gates_Tk, order_N, back_Tk = ctx.saved_tensors
        grad_ND = grad_TD.index_select(0, order_N // back_Tk.shape[1])
        dgates_N = torch.linalg.vecdot(grad_ND, out_ND.to(grad_ND.dtype))
        dout_ND = grad_ND * gates_Tk.flatten().index_select(0, order_N)[:, None]
        return dout_ND.to(out_ND.dtype), dgates_N.index_select(0, back_Tk.flatten()).view_as(gates_Tk), None, None
