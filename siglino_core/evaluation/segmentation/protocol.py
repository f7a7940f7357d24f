"""How the linear probe of segmentation is trained: learning rates, steps and schedule, by name."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

FIRST_RATE = 1e-6  # share of the learning rate at which the warm-up begins


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a probe is trained.

    Attributes:
        learning_rates: the sweep.
        steps: of the sweep and of the final run each; 0: ``epochs`` rounds over the images.
        batch_size: images a step.
        warmup: share of the steps in which the rate rises; then it falls to 0 by a cosine.
        hold_out: share of the train split that chooses the rate.
        pixels: about so many of each label in a step, rows and columns drawn at random; 0: all of them.
    """

    name: str
    learning_rates: tuple[float, ...]
    steps: int = 0
    epochs: int = 10
    batch_size: int = 16
    warmup: float = 0.0
    weight_decay: float = 1e-3
    dropout: float = 0.1
    hold_out: float = 0.1
    pixels: int = 0

    def describe(self) -> dict[str, Any]:
        """As plain values, for a result's parameters."""
        return dataclasses.asdict(self)


STRICT = Protocol(name="strict", learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2), steps=40_000, warmup=1500 / 40_000)
"""DINOv3's probe of ADE20K on features that are computed once: its schedule and its head, without the random crops,
scales and flips that ask for new features at each step (Siméoni et al. 2025)."""

QUICK = Protocol(name="quick", learning_rates=(4e-4, 8e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1e-2, 2e-2), pixels=1024)
"""SigLino's ten rounds and rates, with the rate chosen on a hold-out and labels of their own size; a step looks at
about 1,024 pixels of each label."""


def schedule(step: int, steps: int, warmup: float) -> float:
    """The share of the learning rate at a step: a linear rise, then half a cosine to 0."""
    rising = round(warmup * steps)
    if step < rising:
        return FIRST_RATE + (1 - FIRST_RATE) * step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))
