"""The learning rate's course: values worked out by hand, and what holds at every step."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.distillation.optim import OptimConfig, Schedule, lr_factor

COSINE = OptimConfig(steps=110, warmup_steps=10, final_lr_share=0.1)
WSD = OptimConfig(steps=100, warmup_steps=10, final_lr_share=0.1, schedule=Schedule.WSD)


@pytest.mark.parametrize(
    ("config", "step", "factor"),
    [
        (COSINE, 0, 0.1),
        (COSINE, 4, 0.5),
        (COSINE, 9, 1.0),
        (COSINE, 10, 1.0),
        (COSINE, 35, 0.1 + 0.9 * (1 + 2**-0.5) / 2),
        (COSINE, 60, 0.55),
        (COSINE, 110, 0.1),
        (COSINE, 10_000, 0.1),
        (WSD, 4, 0.5),
        (WSD, 50, 1.0),
        (WSD, 80, 1.0),
        (WSD, 85, 0.775),
        (WSD, 90, 0.55),
        (WSD, 100, 0.1),
        (OptimConfig(steps=100, warmup_steps=10, schedule=Schedule.CONSTANT), 5, 0.6),
        (OptimConfig(steps=100, warmup_steps=10, schedule=Schedule.CONSTANT), 1000, 1.0),
        (OptimConfig(steps=100, warmup_steps=0), 0, 1.0),
        (OptimConfig(steps=100, warmup_steps=0), 50, 0.5),
        (OptimConfig(steps=10, warmup_steps=10), 9, 1.0),
        (OptimConfig(steps=1, warmup_steps=0), 0, 1.0),
        (OptimConfig(steps=100, warmup_steps=90, schedule=Schedule.WSD), 95, 0.5),
    ],
)
def test_golden(config: OptimConfig, step: int, factor: float) -> None:
    assert lr_factor(step, config) == pytest.approx(factor, abs=1e-12)


@st.composite
def configs(draw: st.DrawFn) -> OptimConfig:
    steps = draw(st.integers(1, 1000))
    return OptimConfig(
        steps=steps,
        warmup_steps=draw(st.integers(0, steps)),
        final_lr_share=draw(st.floats(0, 1)),
        schedule=draw(st.sampled_from(Schedule)),
    )


@settings(max_examples=100)
@given(configs())
def test_up_then_down_within_its_bounds(config: OptimConfig) -> None:
    up = [lr_factor(s, config) for s in range(config.warmup_steps)]
    down = [lr_factor(s, config) for s in range(config.warmup_steps, config.steps + 2)]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert all(0 < f <= 1 for f in up)
    assert all(config.final_lr_share - 1e-12 <= f <= 1 for f in down)
    assert lr_factor(config.steps - 1, config) > 0  # no step is wasted
    if config.schedule is not Schedule.CONSTANT and config.warmup_steps < config.steps:
        assert down[-1] == pytest.approx(config.final_lr_share, abs=1e-12)
