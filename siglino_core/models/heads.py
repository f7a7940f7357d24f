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
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.layernorm = nn.LayerNorm(dim, eps=eps)
        self.mlp = PoolingMlp(dim, hidden)
        self.requires_grad_(False)

    def forward(self, x_TC: Tensor, segments: Segments) -> Tensor:
        """[T, C] to one vector an image, [B, C]."""
        heads, images = self.attention.num_heads, segments.images
        w_q, w_kv = self.attention.in_proj_weight.tensor_split([self.attention.embed_dim])
        b_q, b_kv = self.attention.in_proj_bias.tensor_split([self.attention.embed_dim])
        q_HD = F.linear(self.probe[0, 0], w_q, b_q).unflatten(-1, (heads, -1))
        k_THD, v_THD = F.linear(x_TC, w_kv, b_kv).unflatten(-1, (2, heads, -1)).unbind(1)
        logits_TH = torch.einsum("thd,hd->th", k_THD, q_HD) * q_HD.shape[-1] ** -0.5
        # Summed in fp32: a GPU's index_add rounds every addition to the precision that it is given.
        value_THD = segment_softmax(logits_TH, segments)[..., None] * v_THD
        pooled_XHD = value_THD.new_zeros(images + 1, *v_THD.shape[1:])  # the last row is the padding's
        pooled_XHD = pooled_XHD.index_add(0, segments.image_T, value_THD)
        pooled_BC = self.attention.out_proj(pooled_XHD[:images].flatten(1).to(x_TC.dtype))
        return pooled_BC + self.mlp(self.layernorm(pooled_BC))


class PoolingMlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x_BC: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x_BC), approximate="tanh"))


def segment_softmax(logits_TH: Tensor, segments: Segments) -> Tensor:
    """Softmax over each image's tokens, per column, in fp32 at least; padding makes an image of its own."""
    logits_TH = logits_TH.to(torch.promote_types(logits_TH.dtype, torch.float32))
    rows, image_T = segments.images + 1, segments.image_T
    index_TH = image_T[:, None].expand_as(logits_TH)
    top_XH = logits_TH.new_full((rows, logits_TH.shape[1]), float("-inf"))
    top_XH = top_XH.scatter_reduce(0, index_TH, logits_TH.detach(), "amax")
    exp_TH = (logits_TH - top_XH[image_T]).exp()
    sums_XH = torch.zeros_like(top_XH).index_add(0, image_T, exp_TH)
    return exp_TH / sums_XH[image_T]
