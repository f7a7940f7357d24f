"""Every token through every expert, and what it was not given counts nothing: for traces, which know no groups.

The price is E / k times that of the other paths. In return there is no sort and no size that depends on the data, so
that any runtime takes it.

Legend: T tokens, D width, E experts, k experts per token, F hidden width of an expert.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def experts_dense(
    x_TD: Tensor, w1_EFD: Tensor, w2_EDF: Tensor, w3_EFD: Tensor, gates_Tk: Tensor, chosen_Tk: Tensor
) -> Tensor:
    """As :func:`siglino_core.models.experts_loop.experts_loop`."""
    experts, hidden, width = w1_EFD.shape
    gates_TE = torch.zeros_like(gates_Tk[:, :1]).expand(-1, experts).scatter(1, chosen_Tk, gates_Tk)
    up_TX, lift_TX = (F.linear(x_TD, w.reshape(experts * hidden, width)) for w in (w1_EFD, w3_EFD))
    hidden_TEF = (F.silu(up_TX) * lift_TX).to(gates_TE.dtype).unflatten(-1, (experts, hidden)) * gates_TE[..., None]
    w2_DX = w2_EDF.permute(1, 0, 2).reshape(width, experts * hidden)
    return F.linear(hidden_TEF.flatten(1), w2_DX.to(gates_TE.dtype))
