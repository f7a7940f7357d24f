"""The optimisers as a training run uses them: groups, schedules, exact resume, and that they train."""

import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

from siglino_core.distillation.optim import Method, OptimConfig, build, lr_factor
from tests.siglino_core.distillation.optim.stand_in import Student, loss_of

CONFIG = OptimConfig(lr=5e-3, steps=12, warmup_steps=3, final_lr_share=0.1)


class Run:
    """A model and its optimisers, stepped as the trainer steps them."""

    def __init__(self, config: OptimConfig = CONFIG, seed: int = 0) -> None:
        self.config = config
        self.model = Student(seed=seed)
        self.optimizers = build(self.model, config)

    def train(self, start: int, stop: int) -> list[float]:
        losses: list[float] = []
        for step in range(start, stop):
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.config.lr * lr_factor(step, self.config)
                optimizer.zero_grad()
            loss = loss_of(self.model, step)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
            for optimizer in self.optimizers:
                optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    def rates(self) -> list[float]:
        return [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]


def through_bytes(value: Any) -> Any:
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_the_optimizers_and_their_groups() -> None:
    found = [
        (type(o).__name__, g["name"], len(g["params"]), g["weight_decay"], g["lr"])
        for o in build(Student(), CONFIG)
        for g in o.param_groups
    ]
    assert found == [
        ("Muon", "hidden", 16, 0.01, 5e-3),
        ("AdamW", "matrices", 2, 0.01, 5e-3),
        ("AdamW", "vectors", 12, 0.0, 5e-3),
    ]


def test_adamw_for_all() -> None:
    (only,) = build(Student(), OptimConfig(optimizer=Method.ADAMW))
    assert isinstance(only, torch.optim.AdamW)
    assert [(g["name"], g["weight_decay"]) for g in only.param_groups] == [
        ("hidden", 0.01),
        ("matrices", 0.01),
        ("vectors", 0.0),
    ]
    assert only.param_groups[0]["betas"] == (0.9, 0.95)


def test_what_is_frozen_needs_no_optimizer() -> None:
    model = Student()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter is trainable"):
        build(model, CONFIG)
    model.get_parameter("layers.1.attention.wq.weight").requires_grad_(True)
    assert [type(o).__name__ for o in build(model, CONFIG)] == ["Muon"]
    model.requires_grad_(False)
    model.norm.requires_grad_(True)
    assert [type(o).__name__ for o in build(model, CONFIG)] == ["AdamW"]


def test_one_learning_rate_for_both_optimizers() -> None:
    run = Run()
    seen: list[float] = []
    for step in range(CONFIG.steps + 1):
        run.train(step, step + 1)
        assert len(set(run.rates())) == 1
        seen.append(run.rates()[0] / CONFIG.lr)
    assert seen[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert seen[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("optimizer", Method)
def test_resume_from_the_optimizers_own_state_is_exact(optimizer: Method) -> None:
    config = OptimConfig(optimizer=optimizer, lr=5e-3, steps=12, warmup_steps=3)
    whole, first = Run(config), Run(config)
    wanted = whole.train(0, 10)
    first.train(0, 5)
    saved = through_bytes(
        {
            "model": first.model.state_dict(),
            "optimizers": [o.state_dict() for o in first.optimizers],
        }
    )
    second = Run(config, seed=1)
    second.model.load_state_dict(saved["model"])
    for part, state in zip(second.optimizers, saved["optimizers"], strict=True):
        part.load_state_dict(state)
    assert second.train(5, 10) == wanted[5:]
    assert all(torch.equal(a, b) for a, b in zip(second.model.parameters(), whole.model.parameters(), strict=True))


def test_resume_through_a_distributed_checkpoints_state_is_exact() -> None:
    whole, first = Run(), Run()
    wanted = whole.train(0, 10)
    first.train(0, 5)
    state = get_optimizer_state_dict(first.model, first.optimizers)
    assert set(state["state"]) == {n for n, p in first.model.named_parameters() if p.requires_grad}
    saved = through_bytes(
        {
            "model": first.model.state_dict(),
            "optimizers": state,
        }
    )
    second = Run(seed=1)
    second.model.load_state_dict(saved["model"])
    set_optimizer_state_dict(second.model, second.optimizers, saved["optimizers"])
    assert second.rates() == first.rates()
    assert [g["name"] for o in second.optimizers for g in o.param_groups] == ["hidden", "matrices", "vectors"]
    assert second.train(5, 10) == wanted[5:]
    assert all(torch.equal(a, b) for a, b in zip(second.model.parameters(), whole.model.parameters(), strict=True))


@pytest.mark.parametrize("optimizer", Method)
def test_the_loss_falls_by_half(optimizer: Method) -> None:
    run = Run(OptimConfig(optimizer=optimizer, lr=1e-2, steps=150, warmup_steps=10))
    losses = run.train(0, 150)
    assert sum(losses[-10:]) / 10 < 0.5 * sum(losses[:3]) / 3
