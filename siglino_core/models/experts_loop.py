"""The experts one after the other, on CPUs: rows gathered, worked on and added back while they are in the cache.

The grouped products of the other path write every intermediate of all rows to fresh memory, and on a CPU the page
faults alone cost a tenth of a layer's time.

Legend: T tokens, D width, E experts, k experts per token, N = T * k rows sorted by expert, n rows of one expert, F its
hidden width, P = T * k (token, choice) pairs.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .dispatch import by_expert


def experts_loop(
    x_TD: Tensor, w1_EFD: Tensor, w2_EDF: Tensor, w3_EFD: Tensor, gates_Tk: Tensor, chosen_Tk: Tensor
) -> Tensor:
    """The sum over each token's experts of gate x w2(silu(w1 x) * w3 x), [T, D] in the gates' precision.

    Args:
        chosen_Tk: each token's experts, whose gates these are.
    """
    order_N, offsets_E = by_expert(chosen_Tk, len(w1_EFD))
    return _ExpertsLoop.apply(x_TD, w1_EFD, w2_EDF, w3_EFD, gates_Tk, order_N, offsets_E.tolist())  # type: ignore[no-any-return]


class _ExpertsLoop(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # products into given memory know no autocast
    def forward(
        ctx: Any,
        x_TD: Tensor,
        w1_EFD: Tensor,
        w2_EDF: Tensor,
        w3_EFD: Tensor,
        gates_Tk: Tensor,
        order_N: Tensor,
        ends: list[int],
    ) -> Tensor:
        out_TD = gates_Tk.new_zeros(x_TD.shape)
        hidden: list[Tensor] = []
        for e, (first, end) in enumerate(zip([0, *ends], ends, strict=False)):
            pair_n = order_N[first:end]
            token_n = pair_n // gates_Tk.shape[1]
            x_nD = x_TD[token_n]
            up_nF, lift_nF = x_nD @ w1_EFD[e].T, x_nD @ w3_EFD[e].T
            y_nD = (F.silu(up_nF).mul_(lift_nF) @ w2_EDF[e].T).to(out_TD.dtype)
            out_TD.index_add_(0, token_n, y_nD.mul_(gates_Tk.flatten()[pair_n, None]))
            hidden += [up_nF, lift_nF]
        ctx.save_for_backward(x_TD, w1_EFD, w2_EDF, w3_EFD, gates_Tk, order_N, *hidden)
        ctx.ends = ends
        return out_TD

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x_TD, w1_EFD, w2_EDF, w3_EFD, gates_Tk, order_N, *hidden = ctx.saved_tensors
        dx_TD, dgates_P = torch.zeros_like(x_TD), gates_Tk.new_empty(gates_Tk.numel())
        dw1_EFD, dw2_EDF, dw3_EFD = (torch.empty_like(w) for w in (w1_EFD, w2_EDF, w3_EFD))
        for e, (first, end) in enumerate(zip([0, *ctx.ends], ctx.ends, strict=False)):
            pair_n = order_N[first:end]
            token_n = pair_n // gates_Tk.shape[1]
            x_nD, up_nF, lift_nF = x_TD[token_n], hidden[2 * e], hidden[2 * e + 1]
            sigmoid_nF = up_nF.sigmoid()
            silu_nF = up_nF * sigmoid_nF
            h_nF = silu_nF * lift_nF
            grad_nD = grad_TD[token_n]
            gate_n1 = gates_Tk.flatten()[pair_n, None]
            dh_nF = grad_nD.to(x_nD.dtype) @ w2_EDF[e]
            # <grad, w2 h> is <w2^T grad, h>: the gate's gradient without the output.
            dgates_P[pair_n] = torch.linalg.vecdot(dh_nF, h_nF).to(dgates_P.dtype)
            dh_nF = (dh_nF * gate_n1).to(x_nD.dtype)
            torch.mm((grad_nD * gate_n1).to(x_nD.dtype).T, h_nF, out=dw2_EDF[e])
            dlift_nF = dh_nF * silu_nF
            # silu'(u) = sigmoid(u) + silu(u) (1 - sigmoid(u))
            dup_nF = dh_nF.mul_(lift_nF).mul_(sigmoid_nF.add_(silu_nF.mul_(1 - sigmoid_nF)))
            torch.mm(dup_nF.T, x_nD, out=dw1_EFD[e])
            torch.mm(dlift_nF.T, x_nD, out=dw3_EFD[e])
            dx_TD.index_add_(0, token_n, torch.addmm(dup_nF @ w1_EFD[e], dlift_nF, w3_EFD[e]))
        return dx_TD, dw1_EFD, dw2_EDF, dw3_EFD, dgates_P.view_as(gates_Tk), None, None
