"""Settings of the optimisers: every one out of its range is named, with its value and its range."""

import re
from typing import Any

import pytest

from siglino_core.config import build
from siglino_core.distillation.optim import Method, OptimConfig, Schedule


def test_the_defaults_hold() -> None:
    config = OptimConfig()
    assert (config.lr, config.weight_decay, config.betas, config.eps, config.momentum, config.clip) == (
        1e-3,
        0.01,
        (0.9, 0.95),
        1e-8,
        0.95,
        1.0,
    )
    assert (config.optimizer, config.schedule, config.final_lr_share, config.ema) == ("muon", "cosine", 0.0, None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"lr": -1e-3}, "lr: -0.001 is not within 0..10"),
        ({"lr": float("nan")}, "lr: nan is not within 0..10"),
        ({"lr": "fast"}, "lr: 'fast' is not within 0..10"),
        ({"lr": None}, "lr: None is not within 0..10"),
        ({"weight_decay": 11}, "weight_decay: 11 is not within 0..10"),
        ({"betas": (0.9, 1.0)}, "betas: (0.9, 1.0) is not within 0..0.99999"),
        ({"betas": (0.9,)}, "betas: (0.9,) is not two numbers"),
        ({"eps": 0.0}, "eps: 0.0 is not within 1e-30..1"),
        ({"momentum": 1.0}, "momentum: 1.0 is not within 0..0.99999"),
        ({"clip": 0.0}, "clip: 0.0 is not within 1e-09..inf"),
        ({"steps": 0}, "steps: 0 is not within 1..inf"),
        ({"warmup_steps": -1}, "warmup_steps: -1 is not within 0..inf"),
        ({"steps": 10, "warmup_steps": 11}, "warmup_steps: 11 is not within 0..10 (steps)"),
        ({"final_lr_share": 1.5}, "final_lr_share: 1.5 is not within 0..1"),
        ({"ema": 2.0}, "ema: 2.0 is not within 0..1"),
        ({"schedule": "linear"}, "schedule: 'linear' is not one of cosine, constant, wsd"),
        ({"optimizer": "sgd"}, "optimizer: 'sgd' is not one of muon, adamw"),
    ],
)
def test_a_fault(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        OptimConfig(**values)


def test_all_faults_at_once() -> None:
    with pytest.raises(ValueError, match=r"^schedule: .*\nlr: .*\neps: .*$"):
        OptimConfig(lr=-1.0, eps=-1.0, schedule="linear")  # type: ignore[arg-type]


def test_from_plain_values() -> None:
    values = {"optimizer": "adamw", "schedule": "wsd", "betas": [0.8, 0.99], "steps": 9, "warmup_steps": 0}
    config = build(OptimConfig, values)
    assert (config.optimizer, config.schedule, list(config.betas)) == (Method.ADAMW, Schedule.WSD, [0.8, 0.99])
