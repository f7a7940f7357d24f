"""The student: a transformer over packs of images at their own resolutions, and its heads.

Legend: B images, R registers, P tokens of an image before its patches, N patches of all images, T tokens of the pack,
V values of a patch, D width, H attention heads, hd channels of a head, C a teacher's width.

Source: the SigLino release (arXiv 2512.20157).
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Backend, packed_attention, prepare
from .config import SigLinoConfig
from .heads import HEADS, PoolingHead, head_of, ladder_of, predict, truncated
from .layout import Layout
from .moe import MixtureOfExperts
from .precision import KeepsFp32, RMSNorm
from .rope import golden_frequencies, rotate, rotation
from .segments import Segments

FP32_EPS = torch.finfo(torch.float32).eps
STUDENT = "siglino"  # the student's own features, beside those under its teachers' names


class Features(NamedTuple):
    """What the student says of a pack, by teacher, and under ``siglino`` in its own space."""

    patches: dict[str, Tensor]  # [N, C], all images' patches in order
    summaries: dict[str, Tensor]  # [B, C]
    registers: dict[str, Tensor]  # [B, R, C]


class Attention(KeepsFp32, nn.Module):
    """Queries and keys RMS-normalised per head, then rotated; a sink per head."""

    keeps_fp32 = ("sinks",)

    def __init__(self, config: SigLinoConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads = config.heads
        self.wq = nn.Linear(config.width, inner, bias=False)
        self.wk = nn.Linear(config.width, inner, bias=False)
        self.wv = nn.Linear(config.width, inner, bias=False)
        self.wo = nn.Linear(inner, config.width, bias=False)
        self.sinks = nn.Parameter(torch.empty(config.heads))

    def forward(self, x_TD: Tensor, segments: Segments, turn: tuple[Tensor, Tensor], backend: Backend) -> Tensor:
        q_THD, k_THD, v_THD = self.turned(x_TD, turn)
        return self.wo(packed_attention(q_THD, k_THD, v_THD, segments, self.sinks, backend).flatten(1))

    def turned(self, x_TD: Tensor, turn: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys, normed and rotated, and values: [T, H, hd] each."""
        q_THD, k_THD, v_THD = (w(x_TD).unflatten(-1, (self.heads, -1)) for w in (self.wq, self.wk, self.wv))
        q_THD, k_THD = (rotate(F.rms_norm(x, x.shape[-1:], eps=FP32_EPS), turn) for x in (q_THD, k_THD))
        return q_THD, k_THD, v_THD


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden, bias=False)
        self.w2 = nn.Linear(hidden, width, bias=False)
        self.w3 = nn.Linear(width, hidden, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x_TD)) * self.w3(x_TD))


class Block(nn.Module):
    """x += attention(norm(x)); x += feed_forward(norm(x))."""

    def __init__(self, config: SigLinoConfig, layer: int) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.attention_norm, self.ffn_norm = _norm(config), _norm(config)
        self.moe = self.feed_forward = None
        if config.is_mixture(layer):
            self.moe = MixtureOfExperts(config.width, config.expert_hidden, config.experts, config.top_k)
        else:
            self.feed_forward = FeedForward(config.width, config.hidden)

    def forward(self, x_TD: Tensor, segments: Segments, turn: tuple[Tensor, Tensor], backend: Backend) -> Tensor:
        x_TD = x_TD + self.attention(self.attention_norm(x_TD), segments, turn, backend)
        return x_TD + self.fed(self.ffn_norm(x_TD), segments.used)

    def fed(self, h_TD: Tensor, used: int | None = None) -> Tensor:
        """What the feed-forward makes of normed tokens, of which the first ``used`` are no padding."""
        if self.moe is not None:
            return self.moe(h_TD, used)
        assert self.feed_forward is not None
        return self.feed_forward(h_TD)


class SigLino(KeepsFp32, nn.Module):
    """The student. Its state dict has the published keys.

    Attributes:
        student: its config.
        backend: of the attention.
    """

    keeps_fp32 = ("freqs_cis_golden",)
    freqs_cis_golden: Tensor
    gradient_checkpointing = False  # as transformers sets it, with the function that recomputes
    _gradient_checkpointing_func: Callable[..., Tensor]

    def __init__(self, config: SigLinoConfig, backend: Backend = "auto") -> None:
        super().__init__()
        self.build(config, backend)
        self.reset_parameters()

    def build(self, config: SigLinoConfig, backend: Backend) -> None:
        """Make the modules; their values are those of :meth:`reset_parameters` or of a checkpoint."""
        self.spec = config
        self.backend: Backend = backend
        self.cls_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.storage_tokens = nn.Parameter(torch.empty(1, config.registers, config.width))
        self.img_projector = nn.Linear(config.patch_values, config.width, bias=False)
        frequencies_HF2 = torch.empty(config.heads, config.head_dim // 4, 2, dtype=torch.float32)
        self.register_buffer("freqs_cis_golden", frequencies_HF2)
        self.layers = nn.ModuleList(self.block(i) for i in range(config.layers))
        self.norm = RMSNorm(config.width, eps=config.norm_eps)
        self.register_load_state_dict_pre_hook(_check_frequencies)
        for t in config.teachers:
            self.add_module(f"{t.name}_adapter", head_of(t, config))
            if t.layers:
                self.add_module(f"{t.name}_ladder", ladder_of(t, config))
            if t.name == "dinov3":  # stored in the release, frozen, and used by nothing
                self.layer_norm_dinov3 = nn.LayerNorm(t.dim).requires_grad_(False)
            if t.pooled:
                self.add_module(f"{t.name}_multihead_attention_pooling_head", PoolingHead(t.dim))

    def block(self, layer: int) -> Block:
        """A layer's block."""
        return Block(self.spec, layer)

    def reset_parameters(self) -> None:
        """The published initialisation: each block begins as the identity, since ``wo`` and ``w2`` are zero."""
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.storage_tokens, std=0.02)
        truncated(self.img_projector.weight, 0.02)
        self.freqs_cis_golden.copy_(self.golden())
        for i, block in enumerate(self.layers):
            depth = 0.02 / math.sqrt(2 * (i + 1))
            for name, p in block.named_parameters():
                if name.endswith(("wo.weight", "w2", "w2.weight")):
                    nn.init.zeros_(p)
                elif name.endswith("norm.weight"):
                    nn.init.ones_(p)
                else:
                    truncated(p, 0.02 if "w1" in name else depth)
        for m in self.modules():
            if isinstance(m, MixtureOfExperts):
                nn.init.zeros_(m.expert_bias)
                nn.init.zeros_(m.load)
            elif (isinstance(m, nn.LayerNorm | nn.RMSNorm) and m.weight is not None) or isinstance(m, HEADS):
                m.reset_parameters()
            elif isinstance(m, PoolingHead):  # until the teacher's own weights are copied in
                for p in m.parameters():
                    nn.init.zeros_(p) if p.ndim == 1 else nn.init.normal_(p, std=p.shape[-1] ** -0.5)
                m.layernorm.reset_parameters()

    def golden(self) -> Tensor:
        """The rotary frequencies that belong to this shape, fp32 [H, hd / 4, 2]."""
        c = self.spec
        return golden_frequencies(c.heads, c.head_dim // 4, c.rope_min, c.rope_max)

    def check_frequencies(self, found_HF2: Tensor) -> None:
        """Refuse a checkpoint whose rotary frequencies are not the golden ones.

        Raises:
            ValueError: they differ by more than their precision explains.
        """
        golden_HF2, found = self.golden(), found_HF2.float().cpu()
        # Perhaps they were rounded once, and are fp32 again.
        rounded = [golden_HF2.to(dtype).float() for dtype in (torch.float32, torch.bfloat16, torch.float16)]
        if found.shape != golden_HF2.shape or all((found - one).abs().max() > 1e-4 for one in rounded):
            raise ValueError("freqs_cis_golden: not the golden frequencies of this config. Another model's checkpoint?")

    def layout(self, shapes: list[tuple[int, int]], total: int | None = None) -> Layout:
        """Where images of these (height, width), in patches, lie in a pack of ``total`` tokens."""
        return Layout.of(shapes, prefix=self.spec.prefix, total=total, device=self.cls_token.device)

    def embed(self, patches_NV: Tensor, layout: Layout) -> Tensor:
        """Patches of all images, [N, V], to the first block's tokens, [T, D]; zero where there is padding.

        A patch's values come in the order (row in patch, column in patch, channel).
        """
        prefix_PD = torch.cat([self.cls_token[0], self.storage_tokens[0]])
        patches_ND = self.img_projector(patches_NV.to(self.cls_token.dtype))  # a quantised weight has another dtype
        prefix_BPD = prefix_PD.to(patches_ND.dtype).expand(layout.prefix_BP.shape[0], -1, -1)
        if layout.segments.traced:
            patches_BND = patches_ND.unflatten(0, (layout.segments.images, -1))
            return torch.cat([prefix_BPD, patches_BND], dim=1).flatten(0, 1)
        x_TD = patches_ND.new_zeros(layout.segments.total, patches_ND.shape[-1])
        x_TD = x_TD.index_copy(0, layout.patch_N, patches_ND)
        return x_TD.index_copy(0, layout.prefix_BP.flatten(), prefix_BPD.flatten(0, 1))

    def encode(self, patches_NV: Tensor, layout: Layout, states: list[Tensor] | None = None) -> Tensor:
        """Patches of all images, [N, V], to tokens after the last norm, [T, D].

        Args:
            states: filled with the tokens before the first block and after each, before the last norm.
        """
        x_TD = self.embed(patches_NV, layout)
        turn = rotation(layout.positions_T2, self.freqs_cis_golden)
        prepare(layout.segments, x_TD, self.backend)
        for block in self.layers:
            if states is not None:
                states.append(x_TD)
            if self.gradient_checkpointing and self.training:
                x_TD = self._gradient_checkpointing_func(block, x_TD, layout.segments, turn, self.backend)
            else:
                x_TD = block(x_TD, layout.segments, turn, self.backend)
        if states is not None:
            states.append(x_TD)
        return self.norm(x_TD)

    def forward(self, patches: Tensor, layout: Layout, summarized: Collection[str] = ()) -> Features:
        """The same as :meth:`features`."""
        return self.features(patches, layout, summarized)

    def features(self, patches: Tensor, layout: Layout, summarized: Collection[str] = ()) -> Features:
        """Features of all images of a pack.

        Args:
            patches: [N, V], pixels in +-1; those of image 0 row by row, then those of image 1, and so on.
            layout: from :meth:`layout`.
            summarized: teachers whose summaries alone are wanted.

        Raises:
            ValueError: patches that don't fit the layout.
        """
        self.require_fits(patches, layout)
        states: list[Tensor] = []
        x_TD = self.encode(patches, layout, states if self.spec.in_between else None)
        return self.predicted(x_TD, layout, summarized=summarized, states=states)

    def require_fits(self, patches: Tensor, layout: Layout) -> None:
        """Refuse patches that don't fit the layout.

        Raises:
            ValueError: another number of patches, or of values in each.
        """
        if patches.shape != (layout.patch_N.shape[0], self.spec.patch_values):
            raise ValueError(
                f"patches of {tuple(patches.shape)}: the layout has {layout.patch_N.shape[0]} of "
                f"{self.spec.patch_values} values"
            )

    def predicted(
        self,
        x_TD: Tensor,
        layout: Layout,
        teachers: Collection[str] | None = None,
        summarized: Collection[str] = (),
        states: Sequence[Tensor] = (),
    ) -> Features:
        """What the heads make of the tokens after the last norm: of all teachers, or of those named.

        Args:
            summarized: teachers whose summaries alone are wanted: theirs come from CLS, one token of an image.
            states: as :meth:`encode` fills them, if a head reads blocks before the last (``spec.in_between``).
        """
        prefix_BPD, patches_ND = layout.parted(x_TD)
        out = Features({STUDENT: patches_ND}, {STUDENT: prefix_BPD[:, 0]}, {STUDENT: prefix_BPD[:, 1:]})
        for t in self.spec.teachers:
            if teachers is not None and t.name not in teachers:
                continue
            between = [states[i + 1] for i in t.layers]
            if t.name in summarized and not t.pooled and t.by_token:
                cls_BD = [layout.parted(x)[0][:, 0] for x in between]
                out.summaries[t.name] = predict(self, t, prefix_BPD[:, 0], cls_BD)
                continue
            predicted_TC = predict(self, t, x_TD, between, layout.segments, self.backend)
            prefix_BPC, out.patches[t.name] = layout.parted(predicted_TC)
            out.registers[t.name] = prefix_BPC[:, 1:]
            if t.pooled:
                pool = self.get_submodule(f"{t.name}_multihead_attention_pooling_head")
                out.summaries[t.name] = pool(predicted_TC, layout.segments)
            else:
                out.summaries[t.name] = prefix_BPC[:, 0]
        return out


def _check_frequencies(model: SigLino, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    frequencies = state.get(f"{prefix}freqs_cis_golden")
    if frequencies is not None:
        model.check_frequencies(frequencies)
        if frequencies.device.type != "meta":
            state[f"{prefix}freqs_cis_golden"] = model.golden()  # a checkpoint in half precision has rounded them


def _norm(config: SigLinoConfig) -> RMSNorm:
    if config.norm_weights:
        return RMSNorm(config.width, eps=config.norm_eps)
    return RMSNorm(config.width, eps=FP32_EPS, elementwise_affine=False)
