"""The parts of sharded tensors that lie on this rank.

Every operation on a DTensor costs the host some hundred microseconds, and an optimiser has thousands of them: what
needs no other rank is done on the parts.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor, sharing its memory; any other tensor itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def part_of(whole: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a tensor that every rank has whole, if it lay as ``like`` does."""
    if not isinstance(like, DTensor):
        return whole
    replicated = DTensor.from_local(whole, like.device_mesh, [Replicate()] * like.device_mesh.ndim, run_check=False)
    return replicated.redistribute(placements=like.placements).to_local()


@torch.no_grad()
def clip_grad_norm(parameters: Iterable[Tensor], most: float) -> Tensor:
    """Scale all gradients, in place, so that their common norm is ``most`` at most.

    Returns:
        The norm before, over all ranks; `torch.nn.utils.clip_grad_norm_` gives the same.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads:
        return torch.zeros(())
    parts = [local(grad) for grad in grads]
    norms = torch._foreach_norm(parts, 2.0)  # type: ignore[reportPrivateImportUsage]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    for group in _shard_groups(grads):
        norm = norm.square()
        dist.all_reduce(norm, group=group)
        norm = norm.sqrt()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(parts, factor)  # type: ignore[reportPrivateImportUsage]
    return norm


def _shard_groups(grads: Sequence[Tensor]) -> list[dist.ProcessGroup]:
    """Of the ranks that hold parts of one copy: all are sharded over the same, or none is."""
    first = grads[0]
    if not isinstance(first, DTensor):
        return []
    mesh = first.device_mesh
    sharded = [i for i, placement in enumerate(first.placements) if isinstance(placement, Shard)]
    return [mesh.get_group(i) for i in sharded if mesh.size(i) > 1]
