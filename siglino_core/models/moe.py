"""Mixture of experts: a sigmoid router without capacity limit, experts as grouped products, a bias that balances them.

Legend: T tokens, D width, E experts, k experts per token, N = T * k rows sorted by expert, F hidden width of an expert.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .grouped import grouped_linear
from .precision import KeepsFp32


class Router(nn.Module):
    """Scores of all experts for each token, by a linear layer and a sigmoid, in fp32."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, experts, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        dtype = torch.promote_types(x_TD.dtype, torch.float32)
        with torch.autocast(x_TD.device.type, enabled=False):
            return F.linear(x_TD.to(dtype), self.gate.weight.to(dtype)).sigmoid()


class Experts(nn.Module):
    """SwiGLU networks, one per expert: w2(silu(w1 x) * w3 x)."""

    def __init__(self, width: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(experts, hidden, width))
        self.w2 = nn.Parameter(torch.empty(experts, width, hidden))
        self.w3 = nn.Parameter(torch.empty(experts, hidden, width))

    def forward(self, x_ND: Tensor, offsets_E: Tensor) -> Tensor:
        hidden_NF = F.silu(grouped_linear(x_ND, self.w1, offsets_E)) * grouped_linear(x_ND, self.w3, offsets_E)
        return grouped_linear(hidden_NF, self.w2, offsets_E)


class MixtureOfExperts(KeepsFp32, nn.Module):
    """The sum over each token's ``top_k`` experts of gate x output; no token is dropped.

    Experts are chosen by score + ``expert_bias``; the gate is the score alone, not renormalised, applied to the
    output in fp32. While training, ``load`` counts the tokens that each expert was given, padding apart;
    :func:`rebalance` moves the bias and resets the counts.
    """

    keeps_fp32 = ("expert_bias", "load")
    expert_bias: Tensor
    load: Tensor

    def __init__(self, width: int, hidden: int, experts: int, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k
        self.router = Router(width, experts)
        self.experts = Experts(width, hidden, experts)
        self.register_buffer("expert_bias", torch.zeros(experts))
        self.register_buffer("load", torch.zeros(experts), persistent=False)

    def forward(self, x_TD: Tensor, used: int | None = None) -> Tensor:
        """[T, D] to [T, D]; ``used``: how many first tokens are no padding, all of them if left out."""
        scores_TE = self.router(x_TD)
        chosen_Tk = (scores_TE + self.expert_bias).topk(self.top_k, dim=-1).indices
        gates_Tk = scores_TE.gather(1, chosen_Tk)
        if self.training:
            self.load += torch.bincount(chosen_Tk[:used].flatten(), minlength=len(self.load))
        # Sorted by expert, and stable, so that a row's place depends on nothing but the router's choice.
        sorted_N, order_N = chosen_Tk.flatten().sort(stable=True)
        experts_E = torch.arange(len(self.expert_bias), device=x_TD.device)
        offsets_E = torch.searchsorted(sorted_N, experts_E, right=True).int()
        back_Tk = torch.empty_like(order_N).scatter_(0, order_N, torch.arange(order_N.shape[0], device=x_TD.device))
        back_Tk = back_Tk.view_as(chosen_Tk)
        out_ND = self.experts(_Dispatch.apply(x_TD, order_N, back_Tk), offsets_E)
        # The weighted sum of a token's rows, without the [T, k, D] that it sums over.
        out_TD = F.embedding_bag(back_Tk, out_ND.to(gates_Tk.dtype), mode="sum", per_sample_weights=gates_Tk)
        return out_TD.to(x_TD.dtype)


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
