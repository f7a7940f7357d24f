"""What stays fp32 when a model is cast, and what it computes then."""

import pytest
import torch
from torch import nn

from siglino_core.models.precision import Fp32Linear, LayerNorm, RMSNorm, exact_parameters
from tests.siglino_core.models.tiny import DENSE, TINY, filled, student

EXACT = {"router.gate.weight", "attention.sinks", "norm.weight", "norm.bias", "layernorm.weight", "layernorm.bias"}


def named(model: nn.Module) -> set[str]:
    kept = set(map(id, exact_parameters(model)))
    return {name for name, p in model.named_parameters() if id(p) in kept}


@pytest.mark.parametrize("config", [TINY, DENSE], ids=["mixture", "dense"])
def test_gates_sinks_and_norms_are_exact_and_nothing_else(config) -> None:  # type: ignore[no-untyped-def]
    model = student(config)
    ends = tuple(EXACT)
    wanted = {n for n, _ in model.named_parameters() if n.endswith(ends) and not n.startswith("layer_norm_dinov3")}
    assert named(model) == wanted
    assert {n.rpartition("layers.1.")[2] for n in wanted} >= {"attention.sinks", "norm.weight"}
    assert ("layers.0.moe.router.gate.weight" in wanted) == (config is TINY)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_cast_leaves_them_as_they_are(dtype: torch.dtype) -> None:
    model, before = student().to(dtype), dict(student().named_parameters())
    exact = named(model)
    for name, p in model.named_parameters():
        assert p.dtype == (torch.float32 if name in exact else dtype), name
        assert name not in exact or torch.equal(p, before[name])
    assert {b.dtype for b in model.buffers()} == {torch.float32}


def test_gradients_follow_their_parameters() -> None:
    norm = RMSNorm(4)
    norm(torch.randn(2, 4)).sum().backward()
    norm.bfloat16()
    assert norm.weight.grad is not None
    assert norm.weight.grad.dtype == norm.weight.dtype == torch.float32


def test_more_precision_and_other_devices_are_taken() -> None:
    model = student()
    exact = named(model)
    model.double().to("meta")
    assert {p.dtype for n, p in model.named_parameters() if n in exact} == {torch.float64}
    assert {p.device.type for p in model.parameters()} == {"meta"}


@pytest.mark.parametrize(("ours", "theirs"), [(RMSNorm, nn.RMSNorm), (LayerNorm, nn.LayerNorm)])
def test_norms_round_once(ours: type[nn.Module], theirs: type[nn.Module]) -> None:
    norm, reference = filled(ours(48, eps=1e-5)), filled(theirs(48, eps=1e-5))
    x = torch.randn(300, 48).bfloat16()
    assert torch.equal(norm(x.float()), reference(x.float()))  # in fp32 the very same
    assert torch.equal(norm.bfloat16()(x), reference(x.float()).bfloat16())
    assert (norm(x) != reference.bfloat16()(x)).float().mean() > 0.1  # which rounds the weights too


def test_a_linear_layer_answers_in_fp32() -> None:
    layer = filled(Fp32Linear(16, 5))
    x = torch.randn(7, 16).bfloat16()
    wanted = nn.functional.linear(x.float(), layer.weight, layer.bias)  # type: ignore[arg-type]
    assert torch.equal(layer.bfloat16()(x), wanted)
