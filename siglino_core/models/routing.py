"""How evenly experts are loaded, and the bias that evens it without an auxiliary loss.

Legend: L mixture layers, E experts.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from siglino_core.models.moe import MixtureOfExperts

COEFFICIENT = 1e-3  # not stated for the release; that of Wang et al. 2024


@dataclass(frozen=True)
class Loads:
    """Tokens given to each expert since the last :func:`rebalance`, over all ranks, fp32 [L, E] on the CPU."""

    counts_LE: Tensor

    def max_over_mean(self) -> list[float]:
        """Per layer: the busiest expert's load in units of the mean one; 1 is even, E the worst."""
        return (self.counts_LE.amax(1) / self.counts_LE.mean(1).clamp(min=1e-9)).tolist()

    def entropy(self) -> list[float]:
        """Per layer: entropy of the loads in units of that of even ones, 0 to 1."""
        share_LE = self.counts_LE / self.counts_LE.sum(1, keepdim=True).clamp(min=1e-9)
        even = torch.tensor(float(self.counts_LE.shape[1])).log()
        return (torch.special.entr(share_LE).sum(1) / even).tolist()


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
    token twice: neither changes a sign.

    Returns:
        The loads; None if the model has no mixture layers.

    Source: Wang et al. 2024, "Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts" (arXiv 2408.15664).
    """
    layers = mixtures(model)
    if not layers:
        return None
    counts_LE = torch.stack([m.load for m in layers])
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(counts_LE, group=group)
    sign_LE = (counts_LE.mean(1, keepdim=True) - counts_LE).sign()
    step_LE = coefficient * (sign_LE - sign_LE.mean(1, keepdim=True))
    for m, step_E in zip(layers, step_LE, strict=True):
        m.expert_bias += step_E
        m.load.zero_()
    return Loads(counts_LE.cpu())
