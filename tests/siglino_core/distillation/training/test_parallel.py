"""One training over ranks: sharded, in groups and replicated it is that of one process, and so when recomputed."""

import copy
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from siglino_core.config import LossConfig, Relation
from siglino_core.distillation.optim import OptimConfig, build, clip_grad_norm
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.distillation.training.objective import Objective
from siglino_core.distillation.training.parallel import one_rank, parallelize
from siglino_core.errors import ConfigError
from siglino_core.models import PRESETS, SigLino
from siglino_core.models.routing import rebalance
from siglino_core.teachers.teacher import Targets
from tests.ranks import on_ranks
from tests.siglino_core.models.tiny import TINY, patches, student

SHAPES = [[(2, 3), (4, 2)], [(1, 5)], [(3, 3), (2, 2), (1, 2)], [(4, 4)]]  # of a step's packs
STEPS = 3


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def statistics() -> dict[str, Statistics]:
    return {
        t.name: Statistics(summary=PhiS.fit(random(40, t.dim, seed=1)), patch=PhiS.fit(random(40, t.dim, seed=2)))
        for t in TINY.teachers
    }


def one_pass(model: SigLino, pack: int, step: int, images: float) -> Tensor:
    shapes, seed = SHAPES[pack], 10 * step + pack
    x_NV = torch.cat(patches(TINY, shapes, seed=seed))
    told = {
        t.name: Targets(random(len(shapes), t.dim, seed=seed), random(len(x_NV), t.dim, seed=seed + 500))
        for t in TINY.teachers
    }
    objective = Objective(config=LossConfig(relation=Relation.NONE), statistics=statistics())
    counts = [h * w for h, w in shapes]
    return objective(model(x_NV, model.layout(shapes)), told, counts, images=images).total


def trained(shard: int, world: int = 1, rank: int = 0, **options: Any) -> dict[str, Tensor]:
    """The weights after some steps, whole."""
    model = parallelize(
        student(seed=1).train(), device="cpu", dtype=torch.float32, world=world, fsdp_size=shard, **options
    )
    optimizers = build(model, OptimConfig(lr=1e-2, steps=9, warmup_steps=0))
    for step in range(STEPS):
        for pack in range(rank, len(SHAPES), world):
            one_pass(model, pack, step, sum(map(len, SHAPES)) / world).backward()
        clip_grad_norm(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        rebalance(model)
    found = model.state_dict()
    return {k: (v.full_tensor() if isinstance(v, DTensor) else v).detach().clone() for k, v in found.items()}


def on_rank(shards: list[int]) -> list[dict[str, Tensor]]:
    return [trained(shard, dist.get_world_size(), dist.get_rank()) for shard in shards]


@pytest.mark.slow
def test_sharded_and_replicated_train_as_one_process() -> None:
    wanted = trained(0)
    before = student(seed=1).state_dict()
    assert any((wanted[k] - before[k]).abs().max() > 1e-2 for k in wanted)
    for sharded, replicated in on_ranks(on_rank, [0, 1]):
        for found in (sharded, replicated):
            assert found.keys() == wanted.keys()
            for key, value in wanted.items():
                torch.testing.assert_close(found[key], value, rtol=0, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}")


def test_recomputed_gradients_are_the_same() -> None:
    grads = []
    for activation_checkpointing in (False, True):
        model = parallelize(
            student(seed=1).train(),
            device="cpu",
            dtype=torch.float32,
            activation_checkpointing=activation_checkpointing,
        )
        one_pass(model, 2, 0, 3.0).backward()
        grads.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys() != set()
    assert all(torch.equal(grads[0][n], grads[1][n]) for n in grads[0])


def test_recomputing_changes_no_name() -> None:
    plain = student()
    parallelize(model := copy.deepcopy(plain), device="cpu", dtype=torch.float32, activation_checkpointing=True)
    assert list(model.state_dict()) == list(plain.state_dict())


def test_groups_that_do_not_divide_the_ranks() -> None:
    with pytest.raises(ConfigError, match=r"train.fsdp_size=3 does not divide the 4 ranks"):
        parallelize(student(), device="cpu", dtype=torch.float32, world=4, fsdp_size=3)


def test_one_rank_trains_in_bf16_without_a_process_group_of_its_own() -> None:
    assert not dist.is_initialized()
    with one_rank("cpu", 1):
        model = parallelize(SigLino(PRESETS["siglino-nano"]).train(), device="cpu", dtype=torch.bfloat16)
        features = model(torch.randn(6, 768), model.layout([(2, 3)]))
        assert features.patches["siglino"].dtype == torch.bfloat16
        features.patches["dinov3"].float().square().mean().backward()
        weight = model.img_projector.weight
        assert weight.dtype == torch.float32
        assert weight.grad is not None
    assert not dist.is_initialized()
