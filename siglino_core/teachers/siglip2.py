"""SigLIP2 NaFlex through transformers: the text-aligned teacher (so400m, 1152 wide, in the paper).

Legend: B images, N patches of all images, V values of a patch, C width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Siglip2VisionModel

from siglino_core.encoders.siglip2 import card_of, checkpoint_of
from siglino_core.encoders.spec import Spec
from siglino_core.models.attention import prepare
from siglino_core.models.heads import PoolingHead
from siglino_core.models.segments import Segments
from siglino_core.teachers.packed import compile_on_cuda, pack_attention
from siglino_core.teachers.teacher import Targets


def load(spec: Spec, device: str = "cpu", dtype: torch.dtype = torch.float32) -> "PackedSigLip2":
    """The teacher, ready to compute; raises as `siglino_core.encoders.siglip2.describe`."""
    checkpoint = checkpoint_of(spec)
    model = checkpoint.load(Siglip2VisionModel, dtype)
    return PackedSigLip2(model.to(device), checkpoint.identity)


class PackedSigLip2:
    """Patches after the last norm, and the pooled output as the summary.

    Attributes:
        head: the pooling, which the student's is a copy of.
    """

    def __init__(self, model: Siglip2VisionModel, identity: str) -> None:
        pack_attention(model)
        self.model = model.eval().requires_grad_(False)
        compile_on_cuda(self.model.encoder.layers)
        config = model.config
        self.card = card_of(config.to_dict(), identity)
        hidden = model.head.mlp.fc1.out_features
        self.head = PoolingHead(self.card.dim, config.num_attention_heads, hidden, config.layer_norm_eps)
        self.head.load_state_dict(model.head.state_dict())
        self.head.to(next(model.parameters()))

    @torch.no_grad()
    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        embeddings = self.model.embeddings
        x_NC = embeddings.patch_embedding(patches_NV.to(embeddings.patch_embedding.weight.dtype))
        x_NC = x_NC + self._positions(shapes).to(x_NC.dtype)
        segments = Segments.of([h * w for h, w in shapes], device=x_NC.device)
        x_1NC = x_NC[None]
        prepare(segments, x_NC)
        for layer in self.model.encoder.layers:
            x_1NC = layer(x_1NC, attention_mask=segments)
        x_NC = self.model.post_layernorm(x_1NC[0])
        return Targets(self.head(x_NC, segments), x_NC)

    def _positions(self, shapes: Sequence[tuple[int, int]]) -> Tensor:
        """[N, C]: the learned square of positions, resized to each image's grid; once for each grid of the pack."""
        embeddings, distinct = self.model.embeddings, sorted(set(shapes))
        side = embeddings.position_embedding_size
        square_SSC = embeddings.position_embedding.weight.view(side, side, -1)
        sizes_G2 = torch.tensor(distinct, device=square_SSC.device)
        # Their own resizing, which differs a little between versions of transformers.
        longest = max(h * w for h, w in distinct)
        resized_GNC = embeddings.resize_positional_embeddings(square_SSC, sizes_G2, longest)  # type: ignore[arg-type]
        positions = dict(zip(distinct, resized_GNC, strict=True))
        return torch.cat([positions[(h, w)][: h * w] for h, w in shapes])
