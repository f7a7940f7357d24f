"""From the student's features to a teacher's: a head per teacher, and the teacher's own pooling over its tokens.

Legend: T tokens, B images, H heads of the pooling, D width, C a teacher's width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import POOLING_HEADS
from .segments import Segments

POOLING_HIDDEN = 4304


class TeacherHead(nn.Module):
    """Linear, LayerNorm, GELU, linear: one for CLS, registers and patches alike. [T, D] to [T, C]."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim)
        self.fc2 = nn.Linear(dim, dim, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.norm(self.fc1(x_TD))))


class PoolingHead(nn.Module):
    """SigLIP2's attention pooling, a frozen copy of the teacher's: a learned probe attends to an image's tokens.

    Its keys are those of ``vision_model.head`` in a SigLIP2 checkpoint.
    """

    def __init__(self, dim: int, heads: int = POOLING_HEADS, hidden: int = POOLING_HIDDEN, eps: float = 1e-5) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.empty(1, 1, dim))
        self.attention = PoolingAttention(dim, heads)
        self.layernorm = nn.LayerNorm(dim, eps=eps)
        self.mlp = PoolingMlp(dim, hidden)
        self.requires_grad_(False)

    def forward(self, x_TC: Tensor, segments: Segments) -> Tensor:
        """[T, C] to one vector an image, [B, C]."""
        pooled_BC = self.attention(self.probe[0, 0], x_TC, segments)
        return pooled_BC + self.mlp(self.layernorm(pooled_BC))


class PoolingAttention(nn.Module):
    """One query attends to each image's tokens. Its keys are those of ``nn.MultiheadAttention``."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = FrozenLinear(dim, dim)

    def forward(self, probe_C: Tensor, x_TC: Tensor, segments: Segments) -> Tensor:
        w_q, w_kv = self.in_proj_weight.tensor_split([len(probe_C)])
        b_q, b_kv = self.in_proj_bias.tensor_split([len(probe_C)])
        q_HD = F.linear(probe_C, w_q, b_q).unflatten(-1, (self.heads, -1))
        k_THD, v_THD = F.linear(x_TC, w_kv, b_kv).unflatten(-1, (2, self.heads, -1)).unbind(1)
        logits_TH = torch.einsum("thd,hd->th", k_THD, q_HD) * q_HD.shape[-1] ** -0.5
        # Summed in fp32: a GPU's index_add rounds every addition to the precision that it is given.
        value_THD = segment_softmax(logits_TH, segments)[..., None] * v_THD
        return self.out_proj(segment_sum(value_THD, segments).flatten(1).to(x_TC.dtype))


class PoolingMlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = FrozenLinear(dim, hidden)
        self.fc2 = FrozenLinear(hidden, dim)

    def forward(self, x_BC: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x_BC), approximate="tanh"))


class FrozenLinear(nn.Module):
    """A linear layer of the teacher's own, which those who quantise or adapt linear layers leave alone.

    It meets one vector an image, so that there is nothing to gain, and kernels for 4 bits refuse its 4,304 channels.
    """

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outside, inside))
        self.bias = nn.Parameter(torch.zeros(outside))

    def forward(self, x_BC: Tensor) -> Tensor:
        return F.linear(x_BC, self.weight, self.bias)


def segment_softmax(logits_TH: Tensor, segments: Segments) -> Tensor:
    """Softmax over each image's tokens, per column, in fp32 at least; padding makes an image of its own."""
    logits_TH = logits_TH.to(torch.promote_types(logits_TH.dtype, torch.float32))
    if segments.traced:
        return logits_TH.unflatten(0, segments.grid).softmax(1).flatten(0, 1)
    rows, image_T = segments.images + 1, segments.image_T
    index_TH = image_T[:, None].expand_as(logits_TH)
    top_XH = logits_TH.new_full((rows, logits_TH.shape[1]), float("-inf"))
    top_XH = top_XH.scatter_reduce(0, index_TH, logits_TH.detach(), "amax")
    exp_TH = (logits_TH - top_XH[image_T]).exp()
    sums_XH = torch.zeros_like(top_XH).index_add(0, image_T, exp_TH)
    return exp_TH / sums_XH[image_T]


def segment_sum(x_T: Tensor, segments: Segments) -> Tensor:
    """The sum over each image's tokens: [T, ...] to [B, ...]."""
    if segments.traced:
        return x_T.unflatten(0, segments.grid).sum(1)
    sums_X = x_T.new_zeros(segments.images + 1, *x_T.shape[1:])  # the last row is the padding's
    return sums_X.index_add(0, segments.image_T, x_T)[: segments.images]
