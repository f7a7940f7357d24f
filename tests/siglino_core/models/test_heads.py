"""The teachers' heads: SigLIP2's own pooling, over packs."""

import torch
from transformers import Siglip2VisionConfig
from transformers.models.siglip2.modeling_siglip2 import Siglip2MultiheadAttentionPoolingHead

from siglino_core.models.heads import PoolingHead, segment_softmax
from siglino_core.models.segments import Segments
from tests.siglino_core.models.tiny import filled

LENGTHS = [7, 1, 12, 12]


@torch.no_grad()
def test_pooling_is_that_of_the_teacher() -> None:
    config = Siglip2VisionConfig(hidden_size=32, intermediate_size=96, num_attention_heads=16)
    config._attn_implementation = "eager"
    theirs = filled(Siglip2MultiheadAttentionPoolingHead(config)).eval()
    ours = PoolingHead(32, hidden=96, eps=config.layer_norm_eps)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert not any(p.requires_grad for p in ours.parameters())
    x = torch.randn(sum(LENGTHS) + 3, 32)
    wanted = torch.cat([theirs(image[None]) for image in x[: sum(LENGTHS)].split(LENGTHS)])
    found = ours(x, Segments.of(LENGTHS, total=len(x)))
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-5)


def test_softmax_by_image() -> None:
    logits = 50 * torch.randn(sum(LENGTHS), 3)
    wanted = torch.cat([image.softmax(0) for image in logits.split(LENGTHS)])
    torch.testing.assert_close(segment_softmax(logits, Segments.of(LENGTHS)), wanted)


def test_gradients_reach_the_tokens_through_the_frozen_pooling() -> None:
    pool = filled(PoolingHead(16, hidden=24)).double()
    segments = Segments.of([2, 3], total=6)
    x = torch.randn(6, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: pool(x, segments), (x,))
