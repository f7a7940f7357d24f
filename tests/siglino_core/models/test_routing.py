"""The bias evens the experts' loads, over ranks as over one process."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from siglino_core.models.moe import MixtureOfExperts
from siglino_core.models.routing import Loads, rebalance
from tests.ranks import on_ranks
from tests.siglino_core.models.tiny import filled


def test_skewed_tokens_end_evenly_loaded() -> None:
    torch.manual_seed(0)
    moe = MixtureOfExperts(16, 8, 16, 2).train()
    nn.init.normal_(moe.router.gate.weight, std=0.3)
    lean = 2 * moe.router.gate.weight[3].detach() / moe.router.gate.weight[3].norm()  # all tokens lean to one expert

    def update() -> float:
        tokens = torch.randn(512, 16) + lean
        with torch.no_grad():
            scores = moe.router(tokens)
            chosen = (scores + moe.expert_bias).topk(2).indices
            moe.load += torch.bincount(chosen.flatten(), minlength=16)
        loads = rebalance(moe, coefficient=1e-3)
        assert loads is not None
        return loads.max_over_mean()[0]

    first = update()
    last = [update() for _ in range(2000)][-100:]
    assert first > 3
    assert sum(last) / len(last) < 1.3
    assert abs(moe.expert_bias.mean()) < 1e-5


def test_a_step_is_the_centred_sign() -> None:
    model = nn.ModuleList([filled(MixtureOfExperts(8, 8, 4, 1)) for _ in range(2)])
    model[0].load += torch.tensor([4.0, 1.0, 1.0, 2.0])
    loads = rebalance(model, coefficient=0.5)
    assert loads is not None
    torch.testing.assert_close(model[0].expert_bias, torch.tensor([-0.625, 0.375, 0.375, -0.125]))
    torch.testing.assert_close(model[1].expert_bias, torch.zeros(4))
    assert [count_E.tolist() for count_E in loads.counts] == [[4, 1, 1, 2], [0, 0, 0, 0]]
    assert not model[0].load.any()
    assert rebalance(nn.Linear(2, 2)) is None


def test_statistics() -> None:
    loads = Loads(tuple(torch.tensor([[2.0, 2.0, 2.0, 2.0], [8.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])))
    assert loads.max_over_mean() == [1.0, 4.0, 0.0]
    torch.testing.assert_close(torch.tensor(loads.entropy()), torch.tensor([1.0, 0.0, 0.0]))


def test_layers_may_differ_in_their_number_of_experts() -> None:
    model = nn.ModuleList([MixtureOfExperts(8, 8, experts, 1) for experts in (4, 2, 1)])
    for layer, load in zip(model, ([4.0, 1.0, 1.0, 2.0], [3.0, 1.0], [5.0]), strict=True):
        layer.load += torch.tensor(load)
    loads = rebalance(model, coefficient=0.5)
    assert loads is not None
    torch.testing.assert_close(model[0].expert_bias, torch.tensor([-0.625, 0.375, 0.375, -0.125]))
    torch.testing.assert_close(model[1].expert_bias, torch.tensor([-0.5, 0.5]))
    assert loads.max_over_mean() == [2.0, 1.5, 1.0]
    assert len(loads.entropy()) == 2  # one expert alone is neither even nor uneven


def test_a_frozen_layer_keeps_its_routes() -> None:
    model = nn.ModuleList([MixtureOfExperts(8, 8, 4, 1) for _ in range(2)])
    model[0].requires_grad_(False)
    for layer in model:
        layer.load += torch.tensor([4.0, 1.0, 1.0, 2.0])
    loads = rebalance(model, coefficient=0.5)
    assert loads is not None
    assert not model[0].expert_bias.any()
    assert model[1].expert_bias.any()
    assert loads.max_over_mean() == [2.0, 2.0]
    assert not model[0].load.any()


def one_rank() -> tuple[list[float], list[float]]:
    """A step of one of two ranks, which hold other loads."""
    moe = MixtureOfExperts(8, 8, 4, 1)
    moe.load += torch.tensor([[5.0, 1.0, 1.0, 1.0], [0.0, 1.0, 9.0, 2.0]])[dist.get_rank()]
    loads = rebalance(moe, coefficient=1.0)
    assert loads is not None
    return moe.expert_bias.tolist(), loads.counts[0].tolist()


@pytest.mark.slow
def test_ranks_move_alike_by_the_loads_of_all() -> None:
    first, second = on_ranks(one_rank)
    assert first == second == ([-0.25, 0.75, -1.25, 0.75], [5.0, 2.0, 10.0, 3.0])
