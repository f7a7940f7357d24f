"""The settings of the optimisers and their schedule."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from siglino_core.config.settings import setting


class Method(StrEnum):
    MUON = "muon"
    ADAMW = "adamw"


class Schedule(StrEnum):
    COSINE = "cosine"
    CONSTANT = "constant"
    WSD = "wsd"


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How the student is optimised.

    Raises:
        ValueError: every setting out of its range, one a line, with its value and its range.
    """

    optimizer: Method = setting(Method.MUON, "muon: Muon for hidden matrices and AdamW for the rest; adamw: for all")
    lr: float = setting(1e-3, "learning rate after the warm-up", ge=0, le=10)
    weight_decay: float = setting(0.01, "a step shrinks every matrix by lr times this", ge=0, le=10)
    betas: tuple[float, float] = setting(
        (0.9, 0.95), "AdamW's decay rates of the gradient's mean and square", ge=0, le=0.99999
    )
    eps: float = setting(1e-8, "AdamW's smallest divisor", ge=1e-30, le=1)
    momentum: float = setting(0.95, "Muon's decay rate of the gradient's mean", ge=0, le=0.99999)
    clip: float = setting(1.0, "gradients whose norm, over all weights, is larger are scaled down to it", ge=1e-9)
    steps: int = setting(50_000, "optimiser steps of the whole training", ge=1)
    warmup_steps: int = setting(1_000, "steps over which the learning rate rises", ge=0)
    schedule: Schedule = setting(
        Schedule.COSINE, "learning rate after the warm-up: cosine, constant, or wsd (falls in the last fifth)"
    )
    final_lr_share: float = setting(0.0, "learning rate at the end of cosine and wsd, as a share of lr", ge=0, le=1)
    ema: float | None = setting(None, "decay rate of the averaged weights; none: weights are not averaged", ge=0, le=1)

    def __post_init__(self) -> None:
        faults: list[str] = []
        for name, kind in (("optimizer", Method), ("schedule", Schedule)):
            if getattr(self, name) not in list(kind):
                faults.append(f"{name}: {getattr(self, name)!r} is not one of {', '.join(kind)}")
        if len(self.betas) != 2:
            faults.append(f"betas: {self.betas!r} is not two numbers")
        for f in fields(self):
            if f.name not in ("optimizer", "schedule"):
                faults += _outside(f.name, getattr(self, f.name), f.metadata)
        if not faults and self.warmup_steps > self.steps:
            faults.append(f"warmup_steps: {self.warmup_steps} is not within 0..{self.steps} (steps)")
        if faults:
            raise ValueError("\n".join(faults))


def _outside(name: str, value: Any, meta: Any) -> list[str]:
    """The fault of a number, or of one of several, that is out of its range (as NaN is)."""
    high = float("inf") if meta["le"] is None else meta["le"]
    numbers = value if isinstance(value, list | tuple) else [] if value is None and name == "ema" else [value]
    within = all(isinstance(v, int | float) and meta["ge"] <= v <= high for v in numbers)
    return [] if within else [f"{name}: {value!r} is not within {meta['ge']:g}..{high:g}"]
