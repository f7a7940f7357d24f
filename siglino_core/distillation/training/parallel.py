"""A model over devices and ranks: recomputed, compiled and sharded block by block."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint

from siglino_core.errors import ConfigError
from siglino_core.models import SigLino
from siglino_core.models.heads import HEADS, PoolingHead
from siglino_core.models.precision import exact_parameters

# Said of every output of every pass. Features are read, never written in place.
warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor", UserWarning)


M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Units:
    """A model's parts that are gathered one at a time.

    Attributes:
        blocks: called by their forward; recomputed and compiled as configured.
        pixels: what pixels enter by; the residual stream has its precision from there on.
        others: called by their forward, such as large heads.
    """

    blocks: Sequence[nn.Module]
    pixels: nn.Module
    others: Sequence[nn.Module] = ()

    @staticmethod
    def of(student: SigLino) -> "Units":
        """A student's."""
        heads = [m for m in student.modules() if isinstance(m, (*HEADS, PoolingHead))]
        return Units(blocks=list(student.layers), pixels=student.img_projector, others=heads)


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
    model: M,
    *,
    device: str,
    dtype: torch.dtype,
    world: int = 1,
    fsdp_size: int = 0,
    activation_checkpointing: bool = False,
    compiled: bool = False,
    units: Units | None = None,
) -> M:
    """The model, in place, ready to train; parameters and their names stay, and become shards.

    Args:
        dtype: of products and of what ranks exchange for them. Weights, gradients' sums and optimisers are fp32, and so
            are routers' gates, sinks and norms in the forward pass.
        world: ranks. More than one need a process group, and so does one whose dtype is not fp32 (`one_rank`).
        fsdp_size: ranks that share one copy of the weights: 0: all; 1: each has its own (DDP); else groups of so many,
            which is less traffic between nodes for more memory (HSDP).
        units: its parts that are gathered one at a time; None: it is a student.

    Raises:
        ConfigError: ``fsdp_size`` does not divide ``world``.

    In this order, since each wraps what is there: compile, checkpoint, shard. The other way round nothing is compiled,
    and torch does not say so.
    """
    fsdp_size = fsdp_size or world
    if world % fsdp_size:
        raise ConfigError(f"train.fsdp_size={fsdp_size} does not divide the {world} ranks")
    model.to(device)
    if units is None:
        assert isinstance(model, SigLino)
        units = Units.of(model)
    for block in units.blocks:
        if compiled:
            block.forward = torch.compile(block.forward)
        if activation_checkpointing:
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    if world == 1 and dtype == torch.float32:
        return model
    sizes, names = (
        ((world,), ("shard",)) if fsdp_size == world else ((world // fsdp_size, fsdp_size), ("replicate", "shard"))
    )
    mesh = init_device_mesh(torch.device(device).type, sizes, mesh_dim_names=names)
    _shard(model, units, mesh, dtype, reshard=fsdp_size > 1)
    return model


def _shard(model: nn.Module, of: Units, mesh: DeviceMesh, dtype: torch.dtype, reshard: bool) -> None:
    """Units in ``dtype`` of the blocks and of what else multiplies matrices; the model's own, of the rest, in fp32.

    FSDP gathers a unit in one precision, and a unit inside of a compiled block would break it in two. So the routers'
    gates, sinks and norms of all blocks belong to the model's unit, which is made first, since a later one would not
    look into the blocks: one small exchange more, and it stays gathered from the forward pass to the end of the
    backward one.
    """
    units = [*of.blocks, of.pixels, *of.others]
    coarse = {p for unit in units for p in unit.parameters()} - set(exact_parameters(model))
    # Nothing is cast at a unit's door but pixels: the residual stream is in dtype from the patch embedding on, while
    # positions stay fp32.
    fp32 = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    fully_shard(model, mesh=mesh, mp_policy=fp32, reshard_after_forward=False, ignored_params=coarse)
    exact = set(exact_parameters(model))  # shards by now
    low = replace(fp32, param_dtype=None if dtype == torch.float32 else dtype)
    blocks = set(of.blocks)
    for unit in units:
        policy = replace(low, cast_forward_inputs=unit is of.pixels)
        again = reshard and unit in blocks  # the heads' weights are wanted again at once
        fully_shard(unit, mesh=mesh, mp_policy=policy, reshard_after_forward=again, ignored_params=exact)


def exchange_gradients(model: nn.Module, now: bool) -> None:
    """Whether the next backward pass adds up gradients over ranks, and shards them; else they wait for one that does.

    Once a step instead of once a pass: until then a rank holds the whole gradient of all parameters, in fp32 (4 bytes
    a parameter).
    """
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(now)


def mean_over_ranks(terms: Mapping[str, Tensor], world: int) -> dict[str, float]:
    """Every term of all ranks, each of which holds its part: the mean of the parts; all ranks call it."""
    values = torch.stack([term.float() for term in terms.values()])
    if world > 1:
        dist.all_reduce(values)
        values /= world
    return dict(zip(terms, values.tolist(), strict=True))
