"""How images are packed: the settings, their ranges, and what a pack costs."""

import math
from dataclasses import dataclass

import numpy as np

from siglino_core.config import Match
from siglino_core.models.config import SigLinoConfig
from siglino_core.models.size import forward_flops


@dataclass(frozen=True, kw_only=True)
class PackingConfig:
    """The settings of a plan.

    Attributes:
        packs_per_step: packs in one global step, over all ranks; also the number of virtual shards.
        capacity: tokens of a pack.
        max_images: of a pack; None: `default_max_images`.
        prefix: tokens of an image beside its patches.
        look_ahead: images that wait for a pack at a time, a multiple of 8.
        window: steps whose packs are matched by cost.
        match: how.
        block: images that are packed together, at most; a million take about a second.

    Raises:
        ValueError: a value outside its range; the message names it.
    """

    packs_per_step: int
    capacity: int = 4096
    max_images: int | None = None
    prefix: int = 5
    look_ahead: int = 256
    window: int = 64
    match: Match = Match.GLOBAL
    block: int = 1 << 20

    def __post_init__(self) -> None:
        for name in ("packs_per_step", "capacity", "window", "block"):
            _require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}: at least 1")
        _require(self.capacity < 1 << 31, f"capacity={self.capacity}: under 2^31")
        _require(self.max_images is None or self.max_images >= 1, f"max_images={self.max_images}: at least 1")
        _require(self.prefix >= 0, f"prefix={self.prefix}: at least 0")
        _require(
            self.look_ahead >= 8 and self.look_ahead % 8 == 0, f"look_ahead={self.look_ahead}: a multiple of 8 above 0"
        )
        _require(self.match in list(Match), f"match={self.match}: one of {', '.join(Match)}")


def default_max_images(capacity: int, mean_tokens: float) -> int:
    """Images a pack may hold if nobody says: 16, or half as many again as fill a pack on average, if that is more.

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


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
