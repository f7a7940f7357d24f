"""What a pack costs, and how many images it may hold."""

import math
from dataclasses import dataclass

import numpy as np

from siglino_core.models.config import SigLinoConfig
from siglino_core.models.size import forward_flops


def default_max_images(capacity: int, mean_tokens: float) -> int:
    """Images a pack may hold if nobody says: 16, or half as many again as fill it on average, if that is more.

    Args:
        mean_tokens: of an image; of a mixture those of the part with the smallest images, of which some packs consist.

    The cap bounds what is sized by images and not by tokens (summaries, heads' outputs, the segments of a compiled
    attention). It must not be what closes a pack: with images of 240 tokens, 17 fill 4,096, and a cap of 16 wastes 6%;
    at a capacity of 8,192 it wastes half.
    """
    return max(16, math.ceil(1.5 * capacity / mean_tokens))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """FLOPs of an image of n tokens: ``linear * n + quadratic * n^2``; a pack costs what its images cost."""

    linear: float
    quadratic: float

    @classmethod
    def of(cls, config: SigLinoConfig) -> "Cost":
        """The student's forward pass, from `siglino_core.models.size.forward_flops`; backward is in proportion."""
        one, two = forward_flops(config, 1), forward_flops(config, 2)
        return cls(linear=2 * one - two / 2, quadratic=two / 2 - one)

    def __add__(self, other: "Cost") -> "Cost":
        """Of two models, e.g. of a student and a teacher that runs beside it."""
        return Cost(linear=self.linear + other.linear, quadratic=self.quadratic + other.quadratic)

    def __call__(self, tokens_P: np.ndarray, squares_P: np.ndarray) -> np.ndarray:
        """float64 [P] from each pack's tokens and the sum of its images' squared tokens."""
        return self.linear * tokens_P + self.quadratic * squares_P
