"""Mixture of experts: a sigmoid router without capacity limit, and a bias that balances it.

Legend: T tokens, D width, E experts, k experts per token, N = T * k rows sorted by expert.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .experts_dense import experts_dense
from .experts_grouped import experts_grouped
from .experts_loop import experts_loop
from .grouped import traceable
from .precision import Fp32Linear, KeepsFp32


class Router(nn.Module):
    """Scores of all experts for each token, by a linear layer and a sigmoid, in fp32."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.gate = Fp32Linear(width, experts, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        # A quantised gate, which is another's module, answers in its own precision.
        return self.gate(x_TD).to(torch.promote_types(x_TD.dtype, torch.float32)).sigmoid()


class Experts(nn.Module):
    """SwiGLU networks, one per expert: w2(silu(w1 x) * w3 x)."""

    def __init__(self, width: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.empty(experts, hidden, width))
        self.w2 = nn.Parameter(torch.empty(experts, width, hidden))
        self.w3 = nn.Parameter(torch.empty(experts, hidden, width))

    def forward(self, x_TD: Tensor, gates_Tk: Tensor, chosen_Tk: Tensor) -> Tensor:
        """The sum over each token's experts of gate x output, [T, D] in the gates' precision."""
        return path(x_TD, self.w1)(x_TD, self.w1, self.w2, self.w3, gates_Tk, chosen_Tk)


class MixtureOfExperts(KeepsFp32, nn.Module):
    """The sum over each token's ``top_k`` experts of gate x output; no token is dropped.

    Experts are chosen by score + ``expert_bias``; the gate is the score alone, not renormalised, applied to the
    output in fp32. While training, ``load`` counts the tokens that each expert was given, padding apart, in
    passes that have a gradient; :func:`rebalance` moves the bias and resets the counts.
    """

    keeps_fp32 = ("expert_bias", "load")
    expert_bias: Tensor
    load: Tensor

    def __init__(self, width: int, hidden: int, experts: int, top_k: int) -> None:
        super().__init__()
        self.top_k = top_k
        self.router = Router(width, experts)
        self.experts = Experts(width, hidden, experts)
        self.register_buffer("expert_bias", torch.zeros(experts, dtype=torch.float32))
        self.register_buffer("load", torch.zeros(experts, dtype=torch.float32), persistent=False)

    def forward(self, x_TD: Tensor, used: int | None = None) -> Tensor:
        """[T, D] to [T, D]; ``used``: how many first tokens are no padding, all of them if left out."""
        if torch._C._get_tracing_state() is not None:
            raise RuntimeError(
                "torch.jit.trace would keep this example's routing for all images. Use torch.export, or "
                "`siglino export --program`."
            )
        scores_TE = self.router(x_TD)
        chosen_Tk = (scores_TE + self.expert_bias).topk(self.top_k, dim=-1).indices
        gates_Tk = scores_TE.gather(1, chosen_Tk)
        if self.training and torch.is_grad_enabled():  # a pass that is read and not learnt from is no load
            given_N = chosen_Tk[:used].flatten()  # bincount would make a GPU wait, and a compiled block break in two
            self.load.scatter_add_(0, given_N, torch.ones_like(given_N, dtype=self.load.dtype))
        return self.experts(x_TD, gates_Tk, chosen_Tk).to(x_TD.dtype)


def path(x_TD: Tensor, w1_EFD: Tensor) -> Callable[..., Tensor]:
    """Through the experts: one after the other on CPUs, in grouped products elsewhere and in traces.

    In a trace that has no product for groups, every token goes through every expert.
    """
    if not torch.compiler.is_compiling():
        return experts_loop if x_TD.device.type == "cpu" else experts_grouped
    return experts_grouped if traceable(x_TD, w1_EFD) else experts_dense
