"""A student over devices and ranks: recomputed, compiled and sharded block by block."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint

from siglino_core.errors import ConfigError
from siglino_core.models import SigLino

# Said of every output of every pass. Features are read, never written in place.
warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)


@contextmanager
def one_rank(device: str, world: int) -> Iterator[None]:
    """A process group of one, where a rank is alone and nobody made one: bf16 goes through a mesh, which wants it."""
    if world > 1 or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device == "cuda" else "gloo", store=HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def parallelize(
    model: SigLino,
    *,
    device: str,
    dtype: torch.dtype,
    world: int = 1,
    fsdp_size: int = 0,
    activation_checkpointing: bool = False,
    compiled: bool = False,
) -> SigLino:
    """The model, in place, ready to train; parameters and their names stay, and become shards.

    Args:
        dtype: of products and of what ranks exchange to compute; weights, gradients' sums and optimisers are fp32.
        world: ranks. More than one need a process group, and so does one whose dtype is not fp32 (`one_rank`).
        fsdp_size: ranks that share one copy of the weights: 0: all; 1: each has its own (DDP); else groups of so many,
            which is less traffic between nodes for more memory (HSDP).

    Raises:
        ConfigError: ``fsdp_size`` does not divide ``world``.

    In this order, since each wraps what is there: compile, checkpoint, shard. The other way round nothing is compiled,
    and torch does not say so.
    """
    fsdp_size = fsdp_size or world
    if world % fsdp_size:
        raise ConfigError(f"train.fsdp_size={fsdp_size} does not divide the {world} ranks")
    model.to(device)
    for block in model.layers:
        if compiled:
            block.forward = torch.compile(block.forward)
        if activation_checkpointing:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    if world == 1 and dtype == torch.float32:
        return model
    # Nothing is cast at a block's door: the residual stream is in dtype from the patch embedding on, while positions
    # stay fp32.
    policy = MixedPrecisionPolicy(
        param_dtype=None if dtype == torch.float32 else dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    kind = torch.device(device).type
    sizes, names = (
        ((world,), ("shard",)) if fsdp_size == world else ((world // fsdp_size, fsdp_size), ("replicate", "shard"))
    )
    mesh = init_device_mesh(kind, sizes, mesh_dim_names=names)
    for block in model.layers:
        fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=fsdp_size > 1)
    return fully_shard(model, mesh=mesh, mp_policy=policy, reshard_after_forward=fsdp_size > 1)  # type: ignore[return-value]
