"""Attention over a pack of images, each of which sees itself alone, with a learned sink per head.

Legend: T tokens, H heads, D channels of a head, R images of equal length N.

A head's sink s multiplies its output by sigmoid(log-sum-exp - s), which equals a softmax with one more key of logit s
and value zero. Only FlexAttention differentiates its log-sum-exp; SDPA and the variable-length kernel drop that
gradient in silence. So these two get the key itself: eight more channels (kernels want multiples of eight), of which a
query holds 1, a real key 0, and the extra key sink / scale, in three channels that add up to it: one alone would round
it to the precision of the products. Flash attention with its own backward pass (`flash.py`) needs neither.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from .flash import flash_with_sink
from .segments import Segments

Backend = Literal["auto", "loop", "flash", "varlen", "flex", "mask"]
EXTRA = 8
PARTS = 3  # of these: what fp32 holds is what three numbers of bf16 hold
READS: dict[str, tuple[str, ...]] = {  # of the segments, by backend, beside their runs
    "loop": (),
    "flash": ("longest", "offsets"),
    "varlen": ("images", "longest", "ends_B", "offsets", "image_T"),
    "flex": ("block_mask",),
    "mask": ("image_T",),
}


def packed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    segments: Segments | Sequence[int],
    sink: Tensor | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Softmax attention inside each image of a pack, scale 1/sqrt(D).

    Args:
        q, k, v: [T, H, D], token-major.
        segments: the images' runs of tokens, or their lengths.
        sink: [H], a logit per head that takes part in the softmax and carries no value.
        backend: ``loop`` (SDPA image by image: the fastest on CPUs, and for fp32 everywhere), ``flash`` (CUDA of SM80
            and later, half precision), ``varlen`` (the same by torch's public function, slower with sinks), ``flex``
            (compiled on CUDA anew for each length of a pack; on CPUs the forward pass alone), ``mask`` (all pairs: the
            reference), or ``auto``.

    Returns:
        [T, H, D]; zero for padding.

    Raises:
        ValueError: an unknown backend, one that cannot do this here, or shapes that don't fit.
    """
    if not isinstance(segments, Segments):
        segments = Segments.of(segments, device=q.device)
    if q.shape != k.shape or q.shape != v.shape or q.ndim != 3 or q.shape[0] != segments.total:
        raise ValueError(
            f"q, k, v of {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}: [{segments.total}, H, D] each"
        )
    q, k = q.to(v.dtype), k.to(v.dtype)  # norms and rotation may have left them in fp32
    return BACKENDS[_chosen(backend, v)](q, k, v, segments, sink)


def prepare(segments: Segments, like: Tensor, backend: Backend = "auto") -> None:
    """Make what a backend will read of a pack. A compiled block that had to make it would be traced for every pack.

    Args:
        like: a tensor of the device and precision of the attention's values.
    """
    for name in ("used", *READS[_chosen(backend, like)]):
        getattr(segments, name)


def _chosen(backend: Backend, like: Tensor) -> Backend:
    if backend == "auto":
        half = like.is_cuda and like.dtype in (torch.bfloat16, torch.float16)
        return "flash" if half and torch.cuda.get_device_capability(like.device) >= (8, 0) else "loop"
    if backend not in BACKENDS:
        raise ValueError(f"backend={backend!r}: one of auto, {', '.join(BACKENDS)}")
    return backend


def _loop(q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, segments: Segments, sink_H: Tensor | None) -> Tensor:
    parts = []
    cut = [_by_run(x_THD, segments) for x_THD in (q_THD, k_THD, v_THD)]
    for (_, images, length), *qkv in zip(segments.runs, *cut, strict=True):
        q_RHND, k_RHND, v_RHND = (x_THD.unflatten(0, (images, length)).transpose(1, 2) for x_THD in qkv)
        o_RHND = attend(q_RHND, k_RHND, v_RHND, sink_H)
        parts.append(o_RHND.transpose(1, 2).flatten(0, 1))
    return _with_padding(parts, v_THD, segments)


def _by_run(x_THD: Tensor, segments: Segments) -> Sequence[Tensor]:
    """Each run's tokens.

    Cut all at once: the gradient of a slice is as long as the pack, and there would be one for every run to add up.
    """
    if len(segments.runs) == 1 and segments.used == segments.total:
        return (x_THD,)
    counts = [images * length for _, images, length in segments.runs]
    return x_THD.split([*counts, segments.total - segments.used])[:-1]


def attend(q_RHND: Tensor, k_RHMD: Tensor, v_RHMD: Tensor, sink_H: Tensor | None, seen: Tensor | None = None) -> Tensor:
    """Softmax attention in batches, scale 1/sqrt(D), with the sink as a key: [R, H, N, D].

    Args:
        seen: bool, broadcast to [R, H, N, M]: which keys each query sees; None: all. The sink is seen by all.
    """
    scale = q_RHND.shape[-1] ** -0.5
    if sink_H is None:
        return F.scaled_dot_product_attention(q_RHND, k_RHMD, v_RHMD, attn_mask=seen, scale=scale)
    key_R1E = _sink_key(sink_H, scale, q_RHND).transpose(0, 1).expand(q_RHND.shape[0], -1, -1, -1)
    k_RHME = torch.cat([F.pad(k_RHMD, (0, EXTRA)), key_R1E], dim=2)
    v_RHME = F.pad(v_RHMD, (0, EXTRA, 0, 1))
    seen = None if seen is None else F.pad(seen, (0, 1), value=True)
    out = F.scaled_dot_product_attention(_with_one(q_RHND), k_RHME, v_RHME, attn_mask=seen, scale=scale)
    return out[..., : q_RHND.shape[-1]]


def _flash(q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, segments: Segments, sink_H: Tensor | None) -> Tensor:
    if sink_H is None:
        return _varlen(q_THD, k_THD, v_THD, segments, None)
    used = segments.used
    out = flash_with_sink(q_THD[:used], k_THD[:used], v_THD[:used], segments.offsets, segments.longest, sink_H)
    return _with_padding([out], v_THD, segments)


def _varlen(q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, segments: Segments, sink_H: Tensor | None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    if q_THD.device.type != "cuda":
        raise ValueError("backend='varlen': CUDA alone has this kernel. Use backend='auto'.")
    d, used, scale = q_THD.shape[-1], segments.used, q_THD.shape[-1] ** -0.5
    q, k, v = q_THD[:used], k_THD[:used], v_THD[:used]
    ends, longest = segments.offsets, segments.longest
    if sink_H is None:
        out = varlen_attn(q, k, v, ends, ends, longest, longest, scale=scale)
    else:
        # Image i's key goes behind its last token, i rows further down than that token stood.
        image_B = torch.arange(segments.images, device=q.device)
        token_T = torch.arange(used, device=q.device) + segments.image_T[:used]
        rows = torch.cat([token_T, segments.ends_B + image_B])
        key_B1E = _sink_key(sink_H, scale, q).expand(segments.images, -1, -1)
        k = torch.cat([F.pad(k, (0, EXTRA)), key_B1E])[rows.argsort()]
        v = F.pad(torch.cat([v, v.new_zeros(segments.images, *v.shape[1:])])[rows.argsort()], (0, EXTRA))
        ends_k = ends + torch.arange(len(ends), device=q.device, dtype=torch.int32)
        out = varlen_attn(_with_one(q), k, v, ends, ends_k, longest, longest + 1, scale=scale)
    assert isinstance(out, Tensor)
    return _with_padding([out[..., :d]], v_THD, segments)


def _flex(q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, segments: Segments, sink_H: Tensor | None) -> Tensor:
    out_THD = flex_kernel(q_THD, k_THD, v_THD, segments.block_mask, sink_H)
    return _with_padding([out_THD[: segments.used]], v_THD, segments)


def flex_kernel(q_NHD: Tensor, k_MHD: Tensor, v_MHD: Tensor, block_mask: Any, sink_H: Tensor | None) -> Tensor:
    """FlexAttention under a mask of N queries and M keys, [N, H, D].

    Raises:
        ValueError: a gradient is wanted on a CPU, where it has none.
    """
    from torch.nn.attention.flex_attention import AuxRequest

    on_cpu = q_NHD.device.type != "cuda"
    if on_cpu and torch.is_grad_enabled() and any(x.requires_grad for x in (q_NHD, k_MHD, v_MHD)):
        raise ValueError("backend='flex' has no gradient on a CPU. Use backend='auto'.")
    q, k, v = (x.transpose(0, 1)[None] for x in (q_NHD, k_MHD, v_MHD))
    if on_cpu:  # it refuses leaves that want a gradient, even where none is recorded
        q, k, v = q.detach(), k.detach(), v.detach()
    out, aux = _compiled_flex(not on_cpu)(
        q, k, v, block_mask=block_mask, scale=q.shape[-1] ** -0.5, return_aux=AuxRequest(lse=True)
    )
    if sink_H is not None:
        out = out * (aux.lse - sink_H[:, None]).sigmoid()[..., None].to(out.dtype)
    return out[0].transpose(0, 1)


@cache
def _compiled_flex(compiled: bool) -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False) if compiled else flex_attention


def _mask(q_THD: Tensor, k_THD: Tensor, v_THD: Tensor, segments: Segments, sink_H: Tensor | None) -> Tensor:
    scores_HTT = torch.einsum("qhd,khd->hqk", q_THD, k_THD) * q_THD.shape[-1] ** -0.5
    scores_HTT = scores_HTT.to(torch.promote_types(scores_HTT.dtype, torch.float32))
    same_TT = segments.image_T[:, None] == segments.image_T
    scores_HTT = scores_HTT.masked_fill(~same_TT, float("-inf"))
    if sink_H is not None:
        column_HT1 = sink_H[:, None, None].expand(-1, len(q_THD), 1)
        scores_HTT = torch.cat([scores_HTT, column_HT1.to(scores_HTT.dtype)], dim=-1)
    weights_HTT = scores_HTT.softmax(-1)[..., : len(k_THD)].to(v_THD.dtype)
    out_THD = torch.einsum("hqk,khd->qhd", weights_HTT, v_THD)
    return _with_padding([out_THD[: segments.used]], v_THD, segments)


BACKENDS: dict[str, Callable[[Tensor, Tensor, Tensor, Segments, Tensor | None], Tensor]] = {
    "loop": _loop,
    "flash": _flash,
    "varlen": _varlen,
    "flex": _flex,
    "mask": _mask,
}


def _sink_key(sink_H: Tensor, scale: float, like: Tensor) -> Tensor:
    """[1, H, D + EXTRA]: a key that meets a query's 1s with the parts of the sink's logit."""
    logit_H = sink_H / scale
    parts = [logit_H.to(like.dtype)]  # the gradient's way; the others mend its rounding
    for _ in range(PARTS - 1):
        logit_H = logit_H.detach() - parts[-1].detach()
        parts.append(logit_H.to(like.dtype))
    return F.pad(torch.stack(parts, dim=-1)[None], (like.shape[-1], EXTRA - PARTS))


def _with_one(q: Tensor) -> Tensor:
    """[..., D + EXTRA]: a query that holds 1 where a sink's key holds its logit."""
    unit = F.pad(q.new_ones(PARTS), (0, EXTRA - PARTS))
    return torch.cat([q, unit.expand(*q.shape[:-1], EXTRA)], dim=-1)


def _with_padding(parts: list[Tensor], v_THD: Tensor, segments: Segments) -> Tensor:
    if segments.used != segments.total or not parts:
        parts = [*parts, torch.zeros_like(v_THD[segments.used :])]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
