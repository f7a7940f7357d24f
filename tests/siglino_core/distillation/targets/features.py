"""Features as teachers' are: a few directions that images share, a thousandfold between channels, a far mean."""

from collections.abc import Sequence

import torch
from torch import Tensor

from siglino_core.distillation.targets.measures import ErrorMeter, Errors
from siglino_core.distillation.targets.phi_s import PhiS


def images(count: int, patches: int, dim: int, seed: int = 0) -> list[Tensor]:
    """fp32 [N, dim] for each image: low rank, plus noise, plus a few outlier channels, about a mean."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    scale_C = torch.logspace(-1.5, 0.5, dim)[torch.randperm(dim, generator=draw)]
    scale_C[torch.randperm(dim, generator=draw)[:3]] = 30.0
    basis, mean_C = normal(12, dim), 2 * normal(dim) * scale_C
    return [
        (normal(1, 12) + 0.5 * normal(patches, 12)) @ basis * scale_C + 0.5 * normal(patches, dim) * scale_C + mean_C
        for _ in range(count)
    ]


def phis_of(features: list[Tensor]) -> PhiS:
    return PhiS.fit(features)


def errors(reference: Sequence[Tensor], decoded: Sequence[Tensor]) -> Errors:
    """What was lost between images' patches [N, C] and what became of them."""
    meter = ErrorMeter()
    for pair in zip(reference, decoded, strict=True):
        meter.update(*pair)
    return meter.result()
