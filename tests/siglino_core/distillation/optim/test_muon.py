"""Muon: torch's own on matrices, bit for bit; each expert of a batch as if it stood alone."""

import math

import pytest
import torch
from torch import Tensor, nn

from siglino_core.distillation.optim import Muon, orthogonalize


def gradients(shape: tuple[int, ...], steps: int = 5) -> list[Tensor]:
    return list(torch.randn((steps, *shape), generator=torch.Generator().manual_seed(7)))


def train(optimizer: torch.optim.Optimizer, weight: nn.Parameter, grads: list[Tensor]) -> Tensor:
    for grad in grads:
        weight.grad = grad.clone()
        optimizer.step()
    return weight.detach()


def weight_of(shape: tuple[int, ...]) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("shape", [(24, 48), (48, 24), (32, 32), (1, 9)])
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("adjust", ["match_rms_adamw", "original", "spectral_unclamped", None])
def test_a_matrix_is_updated_as_torch_does_bit_for_bit(
    shape: tuple[int, int], nesterov: bool, adjust: str | None
) -> None:
    ours, torchs = weight_of(shape), weight_of(shape)
    a = Muon([ours], 0.02, 0.1, 0.9, nesterov, adjust_lr_fn=adjust)
    b = torch.optim.Muon([torchs], 0.02, 0.1, 0.9, nesterov, adjust_lr_fn=adjust)
    assert torch.equal(train(a, ours, gradients(shape)), train(b, torchs, gradients(shape)))
    assert torch.equal(a.state[ours]["momentum_buffer"], b.state[torchs]["momentum_buffer"])


@pytest.mark.parametrize("shape", [(4, 24, 48), (3, 48, 24), (5, 7, 13), (2, 16, 16), (1, 8, 4)])
def test_experts_are_updated_as_so_many_matrices(shape: tuple[int, int, int]) -> None:
    batch = weight_of(shape)
    lone = [nn.Parameter(w.clone()) for w in batch.detach()]
    grads = gradients(shape)
    found = train(Muon([batch], lr=0.02), batch, grads)
    wanted = torch.stack(
        [
            train(torch.optim.Muon([w], lr=0.02, adjust_lr_fn="match_rms_adamw"), w, [g[e] for g in grads])
            for e, w in enumerate(lone)
        ]
    )
    # Equal to the last bit on a CPU without bf16 units. Others may sum a batch's products in another order, which is
    # worth a few ulps of bf16 in an update of size lr * 0.2.
    torch.testing.assert_close(found, wanted, rtol=0, atol=2**-6 * 0.02 * 0.2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_an_expert_without_tokens_stays_where_it_is(dtype: torch.dtype) -> None:
    weight = weight_of((3, 8, 12))
    before = weight.detach().clone()
    grads = gradients((3, 8, 12))
    for grad in grads:
        grad[1] = 0
    after = train(Muon([weight], lr=0.1, weight_decay=0.0, ns_dtype=dtype), weight, grads)
    assert after.isfinite().all()
    assert torch.equal(after[1], before[1])
    assert (after[[0, 2]] != before[[0, 2]]).float().mean() > 0.99


def test_experts_do_not_touch_each_other() -> None:
    grads = gradients((3, 8, 12), 1)
    alone, beside = weight_of((3, 8, 12)), weight_of((3, 8, 12))
    wanted = train(Muon([alone], ns_dtype=torch.float32), alone, grads)
    louder = grads[0].clone()
    louder[2] *= 1e4
    found = train(Muon([beside], ns_dtype=torch.float32), beside, [louder])
    assert torch.equal(found[:2], wanted[:2])
    louder[2] = math.nan
    found = train(Muon([beside]), beside, [louder])
    assert found[:2].isfinite().all()


@pytest.mark.parametrize("shape", [(24, 48), (48, 24), (6, 12, 40), (6, 40, 12)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_singular_values_come_near_one_and_vectors_stay(
    shape: tuple[int, ...], dtype: torch.dtype, scale: float
) -> None:
    matrix = scale * gradients(shape, 1)[0]
    found = orthogonalize(matrix, dtype=dtype)
    assert found.dtype == dtype
    values = torch.linalg.svdvals(found.float())
    assert values.min() > 0.5
    assert values.max() < 1.5
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.mT @ found.float() @ vh.mT  # diagonal in the matrix's own singular vectors
    off = inner - torch.diag_embed(torch.diagonal(inner, dim1=-2, dim2=-1))
    assert off.abs().max() < (0.05 if dtype == torch.bfloat16 else 1e-4)


def test_zeros_give_zeros() -> None:
    assert torch.equal(orthogonalize(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4, dtype=torch.bfloat16))


@pytest.mark.parametrize("shape", [(64, 64), (24, 96), (96, 24), (3, 24, 96), (30, 24, 16)])
def test_an_update_is_as_large_as_adamws(shape: tuple[int, ...]) -> None:
    weight = weight_of(shape)
    before = weight.detach().clone()
    after = train(Muon([weight], lr=0.01, weight_decay=0.0), weight, gradients(shape, 1))
    assert (after - before).square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.2)


def test_weight_decay_is_the_learning_rates_whatever_the_shape() -> None:
    weight = weight_of((2, 8, 32))
    before = weight.detach().clone()
    after = train(Muon([weight], lr=0.1, weight_decay=0.5), weight, [torch.zeros(2, 8, 32)])
    assert torch.equal(after, before * (1 - 0.1 * 0.5))


def test_hooks_run_once_a_step() -> None:
    torch.optim.Muon([weight_of((2, 2))])  # from now on its step has hooks
    weight = weight_of((2, 2))
    optimizer = Muon([weight])
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    train(optimizer, weight, gradients((2, 2), 1))
    assert calls == ["before", "after"]


def test_the_momentum_is_not_what_is_orthogonalised() -> None:
    weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.bfloat16))
    optimizer = Muon([weight], momentum=0.5, nesterov=False)
    train(optimizer, weight, [torch.full((4, 4), 8.0, dtype=torch.bfloat16)])
    assert torch.equal(optimizer.state[weight]["momentum_buffer"], torch.full((4, 4), 4.0, dtype=torch.bfloat16))


def test_a_closure_is_called_with_gradients_and_a_weight_without_one_is_left() -> None:
    used, unused = weight_of((2, 3)), weight_of((2, 3))
    optimizer = Muon([{"params": [used]}, {"params": [unused], "lr": 0.5}])
    before, wanted = unused.detach().clone(), float(used.detach().square().sum())

    def closure() -> Tensor:
        loss = used.square().sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == wanted
    assert torch.equal(unused, before)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 0.5]


def test_what_is_no_matrix_is_refused() -> None:
    for shape in [(4,), (2, 2, 2, 2)]:
        with pytest.raises(ValueError, match=rf"shape \[{', '.join(map(str, shape))}\] is no matrix"):
            Muon([weight_of(shape)])
    with pytest.raises(ValueError, match="no parameters"):
        Muon([])
    with pytest.raises(ValueError, match="momentum"):
        Muon([weight_of((2, 2))], momentum=-1)
