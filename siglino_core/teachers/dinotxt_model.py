"""The two sides of dino.txt, whose state dicts have the keys of DINOv3's public release.

The image side is two transformer blocks over DINOv3's [CLS | registers | patches]; its summary is CLS beside the mean
of the patches, so that texts are twice as wide as the tokens. The text side is a causal transformer over CLIP's BPE
tokens with learned positions, read at the end of the text and projected without a bias.

Sources: Jose et al. 2024, arXiv:2412.16334; the DINOv3 report, arXiv:2508.10104, and its public repository for names
and sizes: heads of 64 channels, layer norms of epsilon 1e-5, no bias for queries, keys and values.

Legend: B images or texts, P tokens of an image before its patches, R registers, N patches of all images, T tokens of
the pack or of a text, H heads, d channels of a head, D width, C width of the texts.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from siglino_core.models.attention import packed_attention, prepare
from siglino_core.models.layout import Layout
from siglino_core.models.segments import Segments

HEAD_DIM = 64


class Attention(nn.Module):
    """Self-attention's two linear layers; ``biased``: queries, keys and values have a bias, as no release has."""

    def __init__(self, width: int, *, biased: bool = False) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=biased)
        self.proj = nn.Linear(width, width)

    def packed(self, x_TD: Tensor, segments: Segments) -> Tensor:
        """Each token attends to its image's."""
        q_THd, k_THd, v_THd = self.qkv(x_TD).unflatten(-1, (3, -1, HEAD_DIM)).unbind(1)
        return self.proj(packed_attention(q_THd, k_THd, v_THd, segments).flatten(1))

    def causal(self, x_BTD: Tensor) -> Tensor:
        """Each token attends to those up to itself."""
        q_BHTd, k_BHTd, v_BHTd = self.qkv(x_BTD).unflatten(-1, (3, -1, HEAD_DIM)).permute(2, 0, 3, 1, 4)
        out_BHTd = F.scaled_dot_product_attention(q_BHTd, k_BHTd, v_BHTd, is_causal=True)
        return self.proj(out_BHTd.transpose(1, 2).flatten(2))


class Gated(nn.Module):
    """SwiGLU with biases: w3(silu(w1 x) * w2 x)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1, self.w2, self.w3 = nn.Linear(width, hidden), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x_TD: Tensor) -> Tensor:
        return self.w3(F.silu(self.w1(x_TD)) * self.w2(x_TD))


class Scale(nn.Module):
    """A learned factor a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 1e-5))

    def forward(self, x_TD: Tensor) -> Tensor:
        return x_TD * self.gamma


class VisionBlock(nn.Module):
    """x += ls1(attention(norm1(x))); x += ls2(mlp(norm2(x)))."""

    def __init__(self, width: int, hidden: int, *, biased: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ls1, self.ls2 = Scale(width), Scale(width)
        self.attn, self.mlp = Attention(width, biased=biased), Gated(width, hidden)

    def forward(self, x_TD: Tensor, segments: Segments) -> Tensor:
        x_TD = x_TD + self.ls1(self.attn.packed(self.norm1(x_TD), segments))
        return x_TD + self.ls2(self.mlp(self.norm2(x_TD)))


class VisionHead(nn.Module):
    """The image side; its keys are those of ``visual_model.head`` in the release. It computes in fp32.

    Attributes:
        width: of the tokens.
    """

    def __init__(self, width: int = 1024, blocks: int = 2, hidden: int = 2752, *, biased: bool = False) -> None:
        super().__init__()
        self.width = width
        self.blocks = nn.ModuleList(VisionBlock(width, hidden, biased=biased) for _ in range(blocks))
        self.ln_final = nn.LayerNorm(width)

    @classmethod
    def shaped(cls, state: Mapping[str, Tensor]) -> "VisionHead":
        """One of the shape of these weights; raises KeyError if they are of something else."""
        hidden, width = state["blocks.0.mlp.w1.weight"].shape
        return cls(width, _count(state, "blocks."), hidden, biased="blocks.0.attn.qkv.bias" in state)

    @torch.no_grad()
    def forward(
        self, cls_BD: Tensor, registers_BRD: Tensor | None, patches_ND: Tensor, shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Summaries among the texts, fp32 [B, 2 D], of any length.

        Args:
            registers_BRD: as many as there are; None: there are none, and CLS is followed by the patches at once.
            shapes: each image's (height, width) in patches.
        """
        prefix_BPD = cls_BD[:, None] if registers_BRD is None else torch.cat([cls_BD[:, None], registers_BRD], dim=1)
        layout = Layout.of(shapes, prefix=prefix_BPD.shape[1], device=patches_ND.device)
        x_TD = patches_ND.new_empty(layout.segments.total, self.width, dtype=torch.float32)
        x_TD[layout.prefix_BP] = prefix_BPD.float()
        x_TD[layout.patch_N] = patches_ND.float()
        prepare(layout.segments, x_TD)
        for block in self.blocks:
            x_TD = block(x_TD, layout.segments)
        prefix_BPD, patches_ND = layout.parted(self.ln_final(x_TD))
        means_BD = torch.stack([one_ND.mean(0) for one_ND in patches_ND.split(layout.patches)])
        return torch.cat([prefix_BPD[:, 0], means_BD], dim=-1)


class FeedForward(nn.Module):
    """fc2(gelu(fc1 x))."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x_BTD)))


class TextBlock(nn.Module):
    """x += attention(norm(x)); x += feed_forward(norm(x)); causal."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.feed_forward = Attention(width), FeedForward(width, hidden)

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BTD = x_BTD + self.attention.causal(self.attention_norm(x_BTD))
        return x_BTD + self.feed_forward(self.ffn_norm(x_BTD))


class TextTransformer(nn.Module):
    """Tokens [B, T] to states [B, T, D]."""

    def __init__(self, words: int, context: int, width: int, blocks: int, hidden: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(words, width)
        self.positional_embedding = nn.Parameter(torch.zeros(context, width))
        self.blocks = nn.ModuleList(TextBlock(width, hidden) for _ in range(blocks))
        self.ln_final = nn.LayerNorm(width)

    def forward(self, ids_BT: Tensor) -> Tensor:
        x_BTD = self.token_embedding(ids_BT) + self.positional_embedding[: ids_BT.shape[1]]
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.ln_final(x_BTD)


class Projection(nn.Module):
    """A linear layer without a bias."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.linear_projection = nn.Linear(width, dim, bias=False)


class TextModel(nn.Module):
    """The text side; its keys are those of ``text_model`` in the release.

    Attributes:
        dim: width of the vectors.
        context: tokens that it reads at most.
    """

    def __init__(
        self,
        words: int = 49_408,
        context: int = 77,
        width: int = 1280,
        blocks: int = 24,
        hidden: int = 5120,
        dim: int = 2048,
    ) -> None:
        super().__init__()
        self.dim, self.context = dim, context
        self.backbone = TextTransformer(words, context, width, blocks, hidden)
        self.head = Projection(width, dim)

    @classmethod
    def shaped(cls, state: Mapping[str, Tensor]) -> "TextModel":
        """One of the shape of these weights; raises KeyError if they are of something else."""
        words, width = state["backbone.token_embedding.weight"].shape
        context = len(state["backbone.positional_embedding"])
        hidden = len(state["backbone.blocks.0.feed_forward.fc1.bias"])
        dim = len(state["head.linear_projection.weight"])
        return cls(words, context, width, _count(state, "backbone.blocks."), hidden, dim)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Vectors [B, C] of any length, read at each text's largest id, which is that of the end of a text."""
        x_BTD = self.backbone(ids_BT)
        at_end_BD = x_BTD[torch.arange(len(ids_BT), device=ids_BT.device), ids_BT.argmax(dim=-1)]
        return self.head.linear_projection(at_end_BD)


def _count(state: Mapping[str, Tensor], prefix: str) -> int:
    """How many blocks there are under a prefix."""
    return len({key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix)})
