"""A student over devices and ranks: a rank on its own trains in bf16 too."""

import torch
import torch.distributed as dist

from siglino_core.models import PRESETS, SigLino
from siglino_core.training.parallel import one_rank, spread


def test_one_rank_trains_in_bf16_without_a_process_group_of_its_own() -> None:
    assert not dist.is_initialized()
    with one_rank("cpu", 1):
        model = spread(SigLino(PRESETS["siglino-nano"]).train(), device="cpu", dtype=torch.bfloat16)
        features = model(torch.randn(6, 768), model.layout([(2, 3)]))
        assert features.patches["siglino"].dtype == torch.bfloat16
        features.patches["dinov3"].float().square().mean().backward()
        weight = model.img_projector.weight
        assert weight.dtype == torch.float32
        assert weight.grad is not None
    assert not dist.is_initialized()
