"""transformers' own layers over packs: no image is padded, and none sees another.

Their layers take one sequence; attention is looked up by name, and under ours it stays inside each image.

Legend: T tokens, H heads, D channels of a head.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from siglino_core.models.attention import packed_attention
from siglino_core.models.segments import Segments

NAME = "siglino_packed"


def pack_attention(model: PreTrainedModel) -> None:
    """Let a model's layers attend inside images; ``attention_mask`` is then the segments.

    Some layers hand nothing else on to their attention.
    """
    AttentionInterface.register(NAME, _attend)
    # Not set_attn_implementation, which asks a list of their own.
    for module in model.modules():
        if isinstance(config := getattr(module, "config", None), type(model.config)):
            config._attn_implementation = NAME


def compile_on_cuda(layers: Iterable[torch.nn.Module]) -> None:
    """Compile each layer, where it lies on a CUDA device; on CPUs this needs a compiler of C++ and gains little."""
    for layer in layers:
        if next(layer.parameters()).is_cuda:
            layer.compile(dynamic=True)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Segments,
    **_: Any,
) -> tuple[Tensor, None]:
    """[1, H, T, D] in, [1, T, H, D] out, as transformers' attention functions have it."""
    q_THD, k_THD, v_THD = (x[0].transpose(0, 1) for x in (query, key, value))
    return packed_attention(q_THD, k_THD, v_THD, attention_mask)[None], None
