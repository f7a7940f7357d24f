"""The average of the weights: the closed form, and the model's own names."""

import pytest
import torch
from torch import Tensor, nn

from siglino_core.distillation.optim.ema import Ema
from tests.siglino_core.distillation.optim.stand_in import Student


def walk(model: nn.Module, step: int) -> None:
    """Move every parameter and buffer as a training step might."""
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.add_(torch.randn(tensor.shape, generator=generator).to(tensor.dtype))


def path(model: nn.Module, name: str, ema: Ema, steps: int) -> list[Tensor]:
    """What the named weight was, from the start on, while the average follows it."""
    seen = [model.state_dict()[name].double().clone()]
    for step in range(steps):
        walk(model, step)
        ema.update(model)
        seen.append(model.state_dict()[name].double().clone())
    return seen


def test_the_closed_form() -> None:
    model = Student()
    ema = Ema(model, 0.9)
    weights = path(model, "img_projector.weight", ema, 20)
    wanted = 0.9**20 * weights[0] + sum((0.1 * 0.9 ** (20 - t) * weights[t] for t in range(1, 21)), torch.zeros(()))
    torch.testing.assert_close(ema.weights["img_projector.weight"].double(), wanted, rtol=1e-6, atol=1e-6)


def test_names_and_shapes_are_the_models_and_buffers_are_its_own() -> None:
    model = Student()
    ema = Ema(model, 0.9)
    walk(model, 0)
    ema.update(model)
    assert list(ema.weights) == list(model.state_dict())
    for name in ("freqs_cis_golden", "layers.0.moe.expert_bias"):
        assert torch.equal(ema.weights[name], model.state_dict()[name])
    other = Student(seed=1)
    other.load_state_dict(ema.weights)
    assert torch.equal(other.norm.weight, ema.weights["norm.weight"])
    assert not torch.equal(other.norm.weight, model.norm.weight)


def test_the_average_is_no_alias_of_the_model() -> None:
    model = Student()
    ema = Ema(model, 0.9)
    before = {name: tensor.clone() for name, tensor in ema.weights.items()}
    walk(model, 0)
    assert all(torch.equal(ema.weights[name], tensor) for name, tensor in before.items())
    assert not any(tensor.requires_grad for tensor in ema.weights.values())


def test_the_average_of_bf16_weights_is_fp32() -> None:
    model = nn.Linear(2, 2, bias=False).bfloat16()
    ema = Ema(model, 0.999)
    with torch.no_grad():
        model.weight.fill_(1.0)
        ema.weights["weight"].fill_(0.0)
        for _ in range(100):
            ema.update(model)  # in bf16 the average would stop as soon as a thousandth of the way rounds away
    assert ema.weights["weight"].dtype == torch.float32
    torch.testing.assert_close(ema.weights["weight"], torch.full((2, 2), 1 - 0.999**100), rtol=1e-4, atol=0)


def test_faults() -> None:
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"decay: .* is not within 0\.\.1"):
            Ema(nn.Linear(1, 1), decay)
