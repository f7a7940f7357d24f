"""An exponential moving average of a model's weights.

torch's own (`torch.optim.swa_utils.AveragedModel`) copies the module, which a sharded one refuses, averages in the
weights' type, and names what it saves otherwise.

Source: Polyak and Juditsky 1992, "Acceleration of stochastic approximation by averaging".
"""

from typing import Any

import torch
from torch import Tensor, nn


class Ema:
    """``average = decay * average + (1 - decay) * weight`` at every update, in fp32, from the weights at the start.

    Attributes:
        weights: the averaged parameters and the live buffers, under the names and in the order of the model's own
            state dict: ``other.load_state_dict(ema.weights)``.
        updates: how many there were.

    Args:
        model: whose weights to average. Sharded ones are averaged shard by shard.
        decay: share of the average that an update keeps, 0..1.
        warmup: start with less, ``min(decay, (1 + updates) / (10 + updates))``, so that the first weights are
            forgotten soon.

    Raises:
        ValueError: a decay out of its range.
    """

    def __init__(self, model: nn.Module, decay: float, *, warmup: bool = False) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"decay: {decay!r} is not within 0..1")
        self.decay = decay
        self.warmup = warmup
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
        new_share = 1 - self.decay_now()
        for name, tensor in model.state_dict().items():
            if name in averaged:
                self.weights[name].lerp_(tensor.to(self.weights[name].dtype), new_share)
            else:
                self.weights[name].copy_(tensor)
        self.updates += 1

    def decay_now(self) -> float:
        """The decay of the next update."""
        return min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` resumes from: the weights (not a copy of them) and the number of updates."""
        return {"weights": self.weights, "updates": self.updates}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume, in place.

        Raises:
            ValueError: the state's names are not the model's.
        """
        weights: dict[str, Tensor] = state["weights"]
        if wrong := sorted(weights.keys() ^ self.weights.keys()):
            raise ValueError(f"the saved average is of another model: {wrong[0]} and {len(wrong) - 1} more differ")
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])
        self.updates = int(state["updates"])


def _parameters(model: nn.Module) -> set[str]:
    """Names of the parameters that can be averaged."""
    return {n for n, p in model.named_parameters(remove_duplicate=False) if p.is_floating_point()}
