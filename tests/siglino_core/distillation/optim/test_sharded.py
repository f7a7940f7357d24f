"""Two processes that shard the weights train as one that holds them all, and gather each matrix once."""

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.debug import CommDebugMode

from siglino_core.distillation.optim import OptimConfig, build, clip_grad_norm
from siglino_core.distillation.optim.ema import Ema
from tests.ranks import on_ranks
from tests.siglino_core.distillation.optim.stand_in import Student, loss_of

CONFIG = OptimConfig(lr=1e-2, steps=9, warmup_steps=0)


def train(model: torch.nn.Module) -> tuple[Ema, list[torch.optim.Optimizer], list[float]]:
    norms: list[float] = []
    optimizers, ema = build(model, CONFIG), Ema(model, 0.5)
    for step in range(3):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss_of(model, step).backward()  # the same data in both processes: their mean gradient is one's own
        norms.append(float(clip_grad_norm(model.parameters(), 0.5 * norms[-1] if norms else 1e9)))
        for optimizer in optimizers:
            optimizer.step()
        ema.update(model)
    return ema, optimizers, norms


def work() -> tuple[int, int]:
    """Trains both ways and compares; the matrices that Muon holds, and how often its step communicates."""
    plain, sharded = Student(), Student()
    fully_shard(sharded, mesh=init_device_mesh("cpu", (2,)))
    wanted, _, norms = train(plain)
    found, optimizers, norms_of_shards = train(sharded)
    assert norms_of_shards == pytest.approx(norms, rel=1e-5)
    for name, tensor in [*sharded.state_dict().items(), *((f"ema {n}", t) for n, t in found.weights.items())]:
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        same = wanted.weights[name[4:]] if name.startswith("ema ") else plain.state_dict()[name]
        torch.testing.assert_close(whole, same, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    with CommDebugMode() as communication:
        optimizers[0].step()
    matrices = sum(p.ndim == 2 for p in optimizers[0].param_groups[0]["params"])
    return matrices, communication.get_total_counts()


@pytest.mark.slow
def test_sharded_training_is_the_plain_one() -> None:
    for matrices, exchanges in on_ranks(work):
        assert exchanges == matrices > 0
