"""Two processes that shard the weights train as one that holds them all, and gather each matrix once."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.debug import CommDebugMode
from torch.multiprocessing.spawn import spawn

from siglino_core.ema import Ema
from siglino_core.optim import OptimConfig, build
from tests.siglino_core.optim.stand_in import Student, loss_of

CONFIG = OptimConfig(lr=1e-2, steps=9, warmup_steps=0)


def train(model: torch.nn.Module) -> tuple[Ema, list[torch.optim.Optimizer]]:
    optimizers, ema = build(model, CONFIG), Ema(model, 0.5)
    for step in range(3):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss_of(model, step).backward()  # the same data in both processes: their mean gradient is one's own
        for optimizer in optimizers:
            optimizer.step()
        ema.update(model)
    return ema, optimizers


def work(rank: int, meeting: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    try:
        plain, sharded = Student(), Student()
        fully_shard(sharded, mesh=init_device_mesh("cpu", (2,)))
        wanted, _ = train(plain)
        found, optimizers = train(sharded)
        for name, tensor in [*sharded.state_dict().items(), *((f"ema {n}", t) for n, t in found.weights.items())]:
            whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            same = wanted.weights[name[4:]] if name.startswith("ema ") else plain.state_dict()[name]
            torch.testing.assert_close(whole, same, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
        with CommDebugMode() as communication:
            optimizers[0].step()
        matrices = sum(p.ndim == 2 for p in optimizers[0].param_groups[0]["params"])
        assert communication.get_total_counts() == matrices, communication.get_comm_counts()
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not dist.is_available(), reason="torch without torch.distributed")
def test_sharded_training_is_the_plain_one(tmp_path: Path) -> None:
    spawn(work, (str(tmp_path / "meeting"),), nprocs=2)
