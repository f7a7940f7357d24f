"""A mixture of experts: what it computes, its gradients, and what it counts."""

import pytest
import torch
from torch import Tensor

from siglino_core.models.experts_dense import experts_dense
from siglino_core.models.experts_grouped import experts_grouped
from siglino_core.models.experts_loop import experts_loop
from siglino_core.models.moe import MixtureOfExperts
from tests.siglino_core.models.tiny import filled


def mixture(dtype: torch.dtype = torch.float32, *, width: int = 16, hidden: int = 8) -> MixtureOfExperts:
    moe = filled(MixtureOfExperts(width, hidden, 5, 2)).to(dtype)
    assert isinstance(moe, MixtureOfExperts)
    return moe


def all_experts_on_all_tokens(moe: MixtureOfExperts, x: Tensor) -> Tensor:
    scores = (x @ moe.router.gate.weight.T).sigmoid()
    chosen = (scores + moe.expert_bias).topk(moe.top_k).indices
    gates = torch.zeros_like(scores).scatter(1, chosen, scores.gather(1, chosen))
    e = moe.experts
    hidden = torch.nn.functional.silu(torch.einsum("td,efd->tef", x, e.w1)) * torch.einsum("td,efd->tef", x, e.w3)
    return torch.einsum("tef,edf,te->td", hidden, e.w2, gates)


@pytest.fixture(params=[experts_loop, experts_grouped, experts_dense], ids=["loop", "grouped", "dense"], autouse=True)
def _each_path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siglino_core.models.moe.path", lambda *_: request.param)


def test_equals_all_experts_on_all_tokens() -> None:
    moe = mixture()
    moe.expert_bias += torch.tensor([0.3, -0.2, 0.0, 0.1, -0.4])
    x = torch.randn(50, 16, requires_grad=True)
    leaves = (x, *moe.parameters())
    found, wanted = moe(x), all_experts_on_all_tokens(moe, x)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    grad = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, grad), torch.autograd.grad(wanted, leaves, grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_the_bias_chooses_but_does_not_weigh() -> None:
    moe, x = mixture().eval(), torch.randn(20, 16)
    before = moe(x)
    moe.expert_bias += 7.0
    torch.testing.assert_close(moe(x), before)
    moe.expert_bias[3] += 10
    moe.train()(x)
    assert moe.load[3] == 20


def test_gradcheck() -> None:
    moe = mixture(torch.float64, width=4, hidden=3)
    x = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in moe.named_parameters()]

    def work(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(moe, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(work, (x, *moe.parameters()))


def test_counts_are_of_training_and_leave_padding_out() -> None:
    moe, x = mixture(), torch.randn(30, 16)
    moe.eval()(x)
    with torch.no_grad():
        moe.train()(x)
    assert moe.load.sum() == 0
    moe(x, used=25)
    moe(x, used=25)
    assert moe.load.sum() == 2 * 25 * 2


def test_router_and_gates_stay_in_fp32() -> None:
    moe, x = mixture(), torch.randn(40, 16).bfloat16().float()  # what bf16 holds: no rounding changes a choice
    wanted = moe(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert moe.router(x.bfloat16()).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = moe(x.requires_grad_())
    out.sum().backward()
    assert (out - wanted).norm() / wanted.norm() < 0.05
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in moe.parameters())
    moe.bfloat16()
    assert moe.expert_bias.dtype == moe.load.dtype == torch.float32
    found = moe(x.bfloat16())
    assert found.dtype == torch.bfloat16
    assert (found - wanted).norm() / wanted.norm() < 0.05


def test_an_expert_without_tokens() -> None:
    moe = mixture()
    moe.expert_bias[2] -= 100
    moe(torch.randn(7, 16)).sum().backward()
    grad = moe.experts.w1.grad
    assert grad is not None
    assert not grad[2].any()
    assert all(grad[e].any() for e in (0, 1, 3, 4))
