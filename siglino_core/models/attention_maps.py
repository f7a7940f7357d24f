"""What each token looks at, which the kernels of attention do not tell: computed anew, for those who ask.

Legend: B images, P tokens of an image before its patches, N patches of an image, L of the largest, T tokens of a pack,
H heads, D width.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .batch import Batch
from .encoder import SigLino
from .rope import rotation


def attention_maps(model: SigLino, batch: Batch, states: Sequence[Tensor]) -> Iterator[Tensor]:
    """The softmax weights of each block, [B, H, P + L, P + L]; what is missing from a row's sum went to the sink.

    Args:
        states: the tokens [T, D] before each block.
    """
    segments, prefix = batch.layout.segments, batch.layout.prefix_BP.shape[1]
    turn = rotation(batch.layout.positions_T2, model.freqs_cis_golden)
    longest = prefix + batch.padded(batch.patches_NV[:, :1]).shape[1]
    blocks: Any = model.layers
    for block, x_TD in zip(blocks, states, strict=False):
        attention = block.attention
        q_THD, k_THD, _ = attention.turned(block.attention_norm(x_TD), turn)
        sink_H11 = attention.sinks[:, None, None].float()
        maps = []
        for q_NHD, k_NHD in zip(q_THD.split(segments.lengths), k_THD.split(segments.lengths), strict=True):
            scores_HNN = torch.einsum("qhd,khd->hqk", q_NHD, k_NHD) * q_NHD.shape[-1] ** -0.5
            column_HN1 = sink_H11.expand(-1, len(q_NHD), 1)
            weights_HNN = torch.cat([scores_HNN.float(), column_HN1], dim=-1).softmax(-1)[..., :-1]
            spare = longest - len(q_NHD)
            maps.append(torch.nn.functional.pad(weights_HNN, (0, spare, 0, spare)).to(x_TD.dtype))
        yield torch.stack(maps)
