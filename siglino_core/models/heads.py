"""From the student's features to a teacher's: a head per teacher, and the teacher's own pooling over its tokens.

The published head is :class:`TeacherHead`; the others are what the field compares it with.

Legend: T tokens, B images, H heads of the pooling or of a head's attention, D width, C a teacher's width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Backend, packed_attention
from .config import HEAD_HIDDEN, POOLING_HEADS, HeadConfig, SigLinoConfig
from .precision import LayerNorm
from .segments import Segments

POOLING_HIDDEN = 4304
HEAD_STD = 0.01
HEAD_EPS = torch.finfo(torch.float32).eps


class TeacherHead(nn.Module):
    """Linear, LayerNorm, GELU, linear: one for CLS, registers and patches alike. [T, D] to [T, C]."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, dim)
        self.norm = LayerNorm(dim)
        self.fc2 = nn.Linear(dim, dim, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.norm(self.fc1(x_TD))))

    def reset_parameters(self) -> None:
        """The published initialisation."""
        truncated(self.fc1.weight, HEAD_STD)
        truncated(self.fc2.weight, HEAD_STD)
        nn.init.zeros_(self.fc1.bias)


class LinearHead(nn.Module):
    """One linear layer: [T, D] to [T, C]."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, dim)

    def forward(self, x_TD: Tensor) -> Tensor:
        return self.fc(x_TD)

    def reset_parameters(self) -> None:
        """Small weights, no bias."""
        truncated(self.fc.weight, HEAD_STD)
        nn.init.zeros_(self.fc.bias)


class TransformerHead(nn.Module):
    """A transformer block over each image's tokens, LayerNorm, linear: [T, D] to [T, C].

    It begins as LayerNorm and linear: what its attention and its MLP write is zero at first. No parameter has the name
    of another head's, so that weights of one form are never taken for those of another.

    Source: Sariyildiz et al. 2025, "DUNE" (arXiv 2503.14405), whose transformer projectors let a teacher's tokens be
    predicted from their neighbours too.
    """

    def __init__(self, width: int, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = LayerNorm(width)
        self.wq = nn.Linear(width, heads * head_dim)
        self.wk = nn.Linear(width, heads * head_dim)
        self.wv = nn.Linear(width, heads * head_dim)
        self.wo = nn.Linear(heads * head_dim, width)
        self.mlp_norm = LayerNorm(width)
        self.mlp_in = nn.Linear(width, HEAD_HIDDEN * width)
        self.mlp_out = nn.Linear(HEAD_HIDDEN * width, width)
        self.last_norm = LayerNorm(width)
        self.out = nn.Linear(width, dim)

    def forward(self, x_TD: Tensor, segments: Segments, backend: Backend) -> Tensor:
        h_TD = self.attention_norm(x_TD)
        q, k, v = (w(h_TD).unflatten(-1, (self.heads, -1)) for w in (self.wq, self.wk, self.wv))
        x_TD = x_TD + self.wo(packed_attention(q, k, v, segments, backend=backend).flatten(1))
        x_TD = x_TD + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x_TD))))
        return self.out(self.last_norm(x_TD))

    def reset_parameters(self) -> None:
        """Small weights; zeros in what is added to the tokens, and in biases."""
        for layer in (self.wq, self.wk, self.wv, self.mlp_in, self.out):
            truncated(layer.weight, HEAD_STD)
            nn.init.zeros_(layer.bias)
        for layer in (self.wo, self.mlp_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


HEADS = (TeacherHead, LinearHead, TransformerHead)


def head_of(teacher: HeadConfig, student: SigLinoConfig) -> nn.Module:
    """The module that predicts a teacher's features from the tokens after the last norm."""
    if teacher.form == "transformer":
        return TransformerHead(student.width, teacher.dim, student.heads, student.head_dim)
    token_by_token = LinearHead if teacher.form == "linear" else TeacherHead
    return token_by_token(student.width, teacher.dim)


def ladder_of(teacher: HeadConfig, student: SigLinoConfig) -> nn.ModuleList:
    """A rung for each block that a head reads before the last; of the head's form, an MLP for a transformer's.

    Source: Sariyildiz et al. 2024, "UNIC" (arXiv 2408.05088), whose ladder of projectors sums MLPs of the blocks.
    """
    rung = LinearHead if teacher.form == "linear" else TeacherHead
    return nn.ModuleList(rung(student.width, teacher.dim) for _ in teacher.layers)


def predict(
    model: nn.Module,
    teacher: HeadConfig,
    x_TD: Tensor,
    between: Sequence[Tensor],
    segments: Segments | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """A teacher's features by the model's head for it, [T, C].

    Args:
        x_TD: tokens after the last norm.
        between: the same tokens after each block that the head reads before the last, not normed.
        segments, backend: for heads that look at an image's other tokens; then all of a pack are needed.
    """
    head = model.get_submodule(f"{teacher.name}_adapter")
    predicted_TC = head(x_TD) if teacher.by_token else head(x_TD, segments, backend)
    if teacher.layers:
        ladder = model.get_submodule(f"{teacher.name}_ladder")
        assert isinstance(ladder, nn.ModuleList)
        for rung, state_TD in zip(ladder, between, strict=True):
            precise_TD = state_TD.to(torch.promote_types(state_TD.dtype, torch.float32))
            unit_TD = F.rms_norm(precise_TD, state_TD.shape[-1:], eps=HEAD_EPS).to(state_TD.dtype)
            predicted_TC = predicted_TC + rung(unit_TD)
    return predicted_TC


class PoolingHead(nn.Module):
    """SigLIP2's attention pooling, a frozen copy of the teacher's: a learned probe attends to an image's tokens.

    Its keys are those of ``vision_model.head`` in a SigLIP2 checkpoint.
    """

    def __init__(self, dim: int, heads: int = POOLING_HEADS, hidden: int = POOLING_HIDDEN, eps: float = 1e-5) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.empty(1, 1, dim))
        self.attention = PoolingAttention(dim, heads)
        self.layernorm = LayerNorm(dim, eps=eps)
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
    """The sum over each image's tokens, in fp32 at least: [T, ...] to [B, ...]."""
    # A GPU's index_add rounds every addition to the precision that it is given.
    x_T = x_T.to(torch.promote_types(x_T.dtype, torch.float32))
    if segments.traced:
        return x_T.unflatten(0, segments.grid).sum(1)
    sums_X = x_T.new_zeros(segments.images + 1, *x_T.shape[1:])  # the last row is the padding's
    return sums_X.index_add(0, segments.image_T, x_T)[: segments.images]


def truncated(p: Tensor, std: float) -> None:
    """Fill with a normal distribution, cut at three standard deviations."""
    nn.init.trunc_normal_(p, std=std, a=-3 * std, b=3 * std)
