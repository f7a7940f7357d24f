"""What is kept while texts about an image are read: the image's states, and the texts' own past.

Legend: N tokens of the image, Q texts, L new tokens of each, P tokens of the longest text so far, D width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from siglino_core.grounding.attention import cached_attention
from siglino_core.grounding.block import GroundingBlock
from siglino_core.grounding.model import GroundingModel


@dataclass(frozen=True, eq=False)
class ImageStates:
    """What texts read of an image, whatever they are: made once.

    Attributes:
        shape: (height, width) in patches.
        keys, values: of each block, [N, H, hd].
        pixels: the mask head's features, [M, U h, U w]; None: no masks are wanted.
    """

    shape: tuple[int, int]
    keys: list[Tensor]
    values: list[Tensor]
    pixels: Tensor | None


@torch.no_grad()
def image_states(model: GroundingModel, patches_NV: Tensor, shape: tuple[int, int], masks: bool = True) -> ImageStates:
    """An image's states, for any number of texts.

    Args:
        patches_NV: its patches, row by row, pixels in +-1.
    """
    layout = model.layout([shape])
    model.student.require_fits(patches_NV, layout)
    x_TD = model.student.embed(patches_NV, layout)
    images = model.image_pass(layout, x_TD)
    keys, values = [], []
    for block in model.student.layers:
        assert isinstance(block, GroundingBlock)
        x_TD, k_THD, v_THD = block.image_forward(x_TD, images)
        keys.append(k_THD)
        values.append(v_THD)
    pixels = model.mask.pixels(layout.parted(model.student.norm(x_TD))[1], shape) if masks else None
    return ImageStates(shape, keys, values, pixels)


class Past:
    """Texts about one image: the keys and values of what they said so far, padded to the longest."""

    def __init__(self, model: GroundingModel, image: ImageStates, texts: int) -> None:
        self.model, self.image = model, image
        self.keys: list[Tensor | None] = [None] * len(image.keys)
        self.values: list[Tensor | None] = [None] * len(image.keys)
        device = image.keys[0].device
        self.real_QP = torch.zeros(texts, 0, dtype=torch.bool, device=device)
        self.time_Q = torch.zeros(texts, dtype=torch.int64, device=device)

    @torch.no_grad()
    def read(self, token_QL: Tensor, pair_QL2: Tensor, real_QL: Tensor) -> Tensor:
        """The states of L new tokens of each text, after the last norm: [Q, L, D].

        Args:
            real_QL: bool; what is not real stands for nothing, and is seen by no other token.
        """
        model, (texts, new) = self.model, token_QL.shape
        x_SD = model.embed(token_QL.flatten(), pair_QL2.flatten(0, 1)).to(self.image.values[0].dtype)
        time_QL = self.time_Q[:, None] + real_QL.cumsum(1)
        turn = model.time(time_QL.flatten())
        before = self.real_QP[:, None].expand(-1, new, -1)
        among = real_QL[:, None] & torch.ones(new, new, dtype=torch.bool, device=real_QL.device).tril()
        seen_QLK = torch.cat([before, among], dim=2)
        for i, block in enumerate(model.student.layers):
            assert isinstance(block, GroundingBlock)
            q, k, v = (x.unflatten(0, (texts, new)) for x in block.text_projections(x_SD, turn))
            self.keys[i] = k = _behind(self.keys[i], k)
            self.values[i] = v = _behind(self.values[i], v)
            image_k, image_v = self.image.keys[i], self.image.values[i]
            out = cached_attention(q, k, v, image_k, image_v, seen_QLK, block.attention.sinks)
            x_SD = block.text_forward(x_SD, out.flatten(0, 1))
        self.real_QP = torch.cat([self.real_QP, real_QL], dim=1)
        self.time_Q = time_QL[:, -1]
        return model.student.norm(x_SD).unflatten(0, (texts, new))


def _behind(past_QPHD: Tensor | None, new_QLHD: Tensor) -> Tensor:
    return new_QLHD if past_QPHD is None else torch.cat([past_QPHD, new_QLHD], dim=1)
