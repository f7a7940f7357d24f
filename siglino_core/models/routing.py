"""How evenly experts are loaded, and the bias that evens it without an auxiliary loss.

Legend: E experts of a layer.
"""

import math
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from siglino_core.models.moe import MixtureOfExperts

COEFFICIENT = 1e-3  # not stated for the release; that of Wang et al. 2024


@dataclass(frozen=True)
class Loads:
    """Tokens given to each expert since the last :func:`rebalance`, over all ranks: a layer's fp32 [E], on the CPU."""

    counts: tuple[Tensor, ...]

    def max_over_mean(self) -> list[float]:
        """Per layer: the busiest expert's load in units of the mean one; 1 is even, E the worst."""
        return [float(count_E.amax() / count_E.mean().clamp(min=1e-9)) for count_E in self.counts]

    def entropy(self) -> list[float]:
        """Per layer of several experts: entropy of the loads in units of that of even ones, 0 to 1."""
        found = []
        for count_E in self.counts:
            if len(count_E) > 1:
                share_E = count_E / count_E.sum().clamp(min=1e-9)
                found.append(float(torch.special.entr(share_E).sum()) / math.log(len(count_E)))
        return found


def mixtures(model: nn.Module) -> list[MixtureOfExperts]:
    """The model's mixture layers, first to last."""
    return [m for m in model.modules() if isinstance(m, MixtureOfExperts)]


@torch.no_grad()
def rebalance(
    model: nn.Module, coefficient: float = COEFFICIENT, group: dist.ProcessGroup | None = None
) -> Loads | None:
    """Move every ``expert_bias`` towards even loads, by the loads since the last call, and count anew.

    To be called once an optimiser step, by all ranks: one small all-reduce. Each bias moves by coefficient times the
    sign of (mean load - load), mean-centred. Gradient accumulation adds to the counts, and recomputation counts every
    token twice: neither changes a sign. A layer that is frozen keeps its bias, and so its routes.

    Returns:
        The loads; None if the model has no mixture layers.

    Source: Wang et al. 2024, "Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts" (arXiv 2408.15664).
    """
    layers = mixtures(model)
    if not layers:
        return None
    counts = torch.cat([m.load for m in layers])  # layers may differ in their number of experts
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(counts, group=group)
    of_layers = counts.split([len(m.load) for m in layers])
    for m, count_E in zip(layers, of_layers, strict=True):
        sign_E = (count_E.mean() - count_E).sign()
        if any(p.requires_grad for p in m.parameters()):
            m.expert_bias += coefficient * (sign_E - sign_E.mean())
        m.load.zero_()
    return Loads(counts.cpu().split([len(m.load) for m in layers]))
