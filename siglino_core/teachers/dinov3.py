"""DINOv3 through transformers, over packs: the dense teacher (ViT-L/16, 1024 wide, in the paper).

Legend: B images, P tokens of an image before its patches, N patches of all images, V values of a patch, T tokens of the
pack, C width, D channels of a head.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DINOv3ViTModel

from siglino_core.encoders.dinov3 import IMAGENET_MEAN, IMAGENET_STD, card_of, checkpoint_of
from siglino_core.encoders.spec import Spec
from siglino_core.models.attention import prepare
from siglino_core.models.layout import Layout
from siglino_core.teachers.packed import compile_on_cuda, pack_attention
from siglino_core.teachers.teacher import Targets


def load(spec: Spec, device: str = "cpu", dtype: torch.dtype = torch.float32) -> "PackedDinoV3":
    """The teacher, ready to compute; raises as `siglino_core.encoders.dinov3.describe`."""
    checkpoint = checkpoint_of(spec)
    model = checkpoint.load(DINOv3ViTModel, dtype)
    return PackedDinoV3(model.to(device), checkpoint.identity)


class PackedDinoV3:
    """CLS as the summary, patches and registers, all after the last norm."""

    def __init__(self, model: DINOv3ViTModel, identity: str) -> None:
        pack_attention(model)
        self.model = model.eval().requires_grad_(False)
        compile_on_cuda(self.model.model.layer)
        self.card = card_of(model.config.to_dict(), identity)

    @torch.no_grad()
    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        embeddings = self.model.embeddings
        prefix_PC = torch.cat([embeddings.cls_token[0], embeddings.register_tokens[0]])
        layout = Layout.of(shapes, prefix=len(prefix_PC), device=patches_NV.device)
        x_TC = prefix_PC.new_empty(layout.segments.total, self.card.dim)
        x_TC[layout.patch_N] = self._embedded(patches_NV)
        x_TC[layout.prefix_BP] = prefix_PC
        positions = self._positions(shapes, layout)
        x_1TC = x_TC[None]
        prepare(layout.segments, x_TC)
        for layer in self.model.model.layer:
            x_1TC = layer(x_1TC, attention_mask=layout.segments, position_embeddings=positions)
        x_TC = self.model.norm(x_1TC[0])
        prefix_BPC = x_TC[layout.prefix_BP]
        return Targets(prefix_BPC[:, 0], x_TC[layout.patch_N], prefix_BPC[:, 1:])

    def _embedded(self, patches_NV: Tensor) -> Tensor:
        """The patch convolution as a product, of pixels with ImageNet's mean and deviation."""
        conv = self.model.embeddings.patch_embeddings
        mean_3, std_3 = (torch.tensor(x, device=patches_NV.device) for x in (IMAGENET_MEAN, IMAGENET_STD))
        pixels_NX3 = (patches_NV.float().unflatten(1, (-1, 3)) + 1) / 2
        normal_NV = ((pixels_NX3 - mean_3) / std_3).flatten(1).to(conv.weight.dtype)
        return torch.nn.functional.linear(normal_NV, conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias)

    def _positions(self, shapes: Sequence[tuple[int, int]], layout: Layout) -> tuple[Tensor, Tensor]:
        """Cosine and sine [T, D] of every token; CLS and registers do not turn."""
        rope, like = self.model.rope_embeddings, self.model.embeddings.patch_embeddings.weight
        patch = like.shape[-1]
        turns = {(h, w): rope(like.new_empty(1, 1, h * patch, w * patch)) for h, w in set(shapes)}
        out = []
        for which, still in ((0, 1.0), (1, 0.0)):
            turn_TD = like.new_full((layout.segments.total, turns[shapes[0]][0].shape[-1]), still)
            turn_TD[layout.patch_N] = torch.cat([turns[shape][which] for shape in shapes])
            out.append(turn_TD)
        return out[0], out[1]
