"""An exponential moving average of a model's weights.

torch's own (`torch.optim.swa_utils.AveragedModel`) copies the module, which a sharded one refuses, averages in the
weights' type, and names what it saves otherwise.

Source: Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging".
"""

import torch
from torch import Tensor, nn

from siglino_core.distillation.optim.local import local


class Ema:
    """``average = decay * average + (1 - decay) * weight`` at every update, in fp32, from the weights at the start.

    Attributes:
        weights: the averaged parameters and the live buffers, under the names and in the order of the model's own
            state dict: ``other.load_state_dict(ema.weights)``.
        updates: how many there were.

    Args:
        model: whose weights to average. Sharded ones are averaged shard by shard.
        decay: share of the average that an update keeps, 0..1.

    Raises:
        ValueError: a decay out of its range.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"decay: {decay!r} is not within 0..1")
        self.decay = decay
        self.updates = 0
        averaged = _parameters(model)
        self.weights: dict[str, Tensor] = {
            name: tensor.to(torch.float32 if name in averaged else tensor.dtype, copy=True)
            for name, tensor in model.state_dict().items()
        }

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after an optimiser step; buffers are copied as they are."""
        averaged = _parameters(model)
        for name, tensor in model.state_dict().items():
            kept, now = local(self.weights[name]), local(tensor)
            if name in averaged:
                kept.lerp_(now.to(kept.dtype), 1 - self.decay)
            else:
                kept.copy_(now)
        self.updates += 1


def _parameters(model: nn.Module) -> set[str]:
    """Names of the parameters that can be averaged."""
    return {n for n, p in model.named_parameters(remove_duplicate=False) if p.is_floating_point()}
