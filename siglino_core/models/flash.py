"""Flash attention over a pack with a sink per head, on CUDA: torch's kernels, and a softmax with one more key.

The kernels know no sinks, and drop the gradient of their log-sum-exp. But their backward pass computes the weights
anew, as exp(score - log-sum-exp), and what it subtracts from the output that it is given. Handed the log-sum-exp and
the output of the softmax with the sink in it, it gives that softmax's gradients, at no cost.

Legend: T tokens, H heads, D channels of a head, B images.
"""

from typing import Any

import torch
from torch import Tensor


def flash_with_sink(
    q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, offsets: Tensor, longest: int, sink_H: Tensor
) -> Tensor:
    """Softmax attention inside each image, scale 1/sqrt(D), with a logit per head that carries no value: [T, H, D].

    Args:
        offsets: int32 [B + 1], where each image begins, and where the last one ends.
        longest: tokens of the longest image.
    """
    return _Flash.apply(q_THD, k_THD, v_THD, offsets, longest, sink_H)  # type: ignore[no-any-return]


class _Flash(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, offsets: Tensor, longest: int, sink_H: Tensor
    ) -> Tensor:
        ctx.scale, ctx.longest = q_THD.shape[-1] ** -0.5, longest
        out_THD, lse_HT, state, unused, _ = torch.ops.aten._flash_attention_forward(
            q_THD, k_THD, v_THD, offsets, offsets, longest, longest, 0.0, False, False, scale=ctx.scale
        )
        with_sink_HT = torch.logaddexp(lse_HT, sink_H.float()[:, None])
        out_THD = (out_THD * (lse_HT - with_sink_HT).exp().T[..., None]).to(out_THD.dtype)
        ctx.save_for_backward(q_THD, k_THD, v_THD, out_THD, with_sink_HT, offsets, sink_H, state, unused)
        return out_THD

    @staticmethod
    def backward(ctx: Any, grad_THD: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q_THD, k_THD, v_THD, out_THD, with_sink_HT, offsets, sink_H, state, unused = ctx.saved_tensors
        dq_THD, dk_THD, dv_THD = torch.ops.aten._flash_attention_backward(
            grad_THD.contiguous(), q_THD, k_THD, v_THD, out_THD, with_sink_HT, offsets, offsets,
            ctx.longest, ctx.longest, 0.0, False, state, unused, scale=ctx.scale,
        )  # fmt: skip
        # The sink's own weight, and what any key without a value gets: the output's part in the gradient, negative.
        weight_HT = (sink_H.float()[:, None] - with_sink_HT).exp()
        dsink_H = -(weight_HT * torch.einsum("thd,thd->ht", grad_THD.float(), out_THD.float())).sum(1)
        return dq_THD, dk_THD, dv_THD, None, None, dsink_H.to(sink_H.dtype)
