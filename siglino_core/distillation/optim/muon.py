"""Muon for matrices and for batches of matrices (the experts of a layer).

Sources: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks" (the iteration); Liu et al. 2025,
"Muon is Scalable for LLM Training" (arXiv 2502.16982), section 2.2 (a learning rate that serves AdamW as well).

E experts, M rows, N columns; `...` is E or nothing.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim._muon import _adjust_lr
from torch.optim.optimizer import ParamsT

from siglino_core.distillation.optim.local import local, part_of


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` that also takes batches of matrices [E, M, N], each orthogonalised on its own.

    A matrix [M, N] is updated bit for bit as there. A matrix whose gradient and momentum are zero (an expert that has
    had no token so far) stays where it is, weight decay apart.

    Args:
        params: parameters, or groups of them, of two or three dimensions.
        lr: learning rate; one that suits AdamW, unless ``adjust_lr_fn`` is another.
        weight_decay: decoupled; a step takes ``lr * weight_decay`` of a weight.
        momentum: share of the old momentum that a step keeps.
        nesterov: look one step of momentum ahead.
        adjust_lr_fn: how the learning rate follows a matrix's shape. "match_rms_adamw" times
            ``0.2 * sqrt(max(M, N))``, so that an update is as large as AdamW's; the others are torch's.
        ns_dtype: in which type the iteration runs; bf16 as in torch. CPUs without bf16 units are some 20 times
            faster in fp32.

    Raises:
        ValueError: a parameter of another number of dimensions, or an option out of its range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        *,
        adjust_lr_fn: str | None = "match_rms_adamw",
        ns_dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        # Without parameters, since the parent refuses batches; it checks the options and fills the rest of them.
        super().__init__([{"params": []}], lr, weight_decay, momentum, nesterov, adjust_lr_fn=adjust_lr_fn)
        self.defaults["ns_dtype"] = ns_dtype
        self.param_groups.clear()
        given: list[Any] = list(params)
        if not given:
            raise ValueError("Muon: no parameters")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As of every optimiser.

        Raises:
            ValueError: a parameter that is no matrix and no batch of matrices.
        """
        super().add_param_group(param_group)
        for parameter in self.param_groups[-1]["params"]:
            if parameter.ndim not in (2, 3):
                raise ValueError(
                    f"Muon: a parameter of shape {list(parameter.shape)} is no matrix and no batch of them"
                )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; what ``closure`` returns, if there is one."""
        # The parent's step isn't called: where it has hooks, those registered on this optimiser would run twice.
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights: list[Tensor] = []
            grads: list[Tensor] = []
            momenta: list[Tensor] = []
            self._init_group(group, weights, grads, momenta)
            lr, momentum = float(group["lr"]), group["momentum"]
            for weight, grad, average in zip(weights, grads, momenta, strict=True):
                part, own = local(grad), local(average)
                own.lerp_(part, 1 - momentum)
                update = part.lerp(own, momentum) if group["nesterov"] else own
                update = orthogonalize(
                    _whole(update.to(group["ns_dtype"]), grad),
                    coefficients=group["ns_coefficients"],
                    steps=group["ns_steps"],
                    eps=group["eps"],
                    dtype=group["ns_dtype"],
                )
                if update.ndim == 2:
                    update = part_of(update, weight)
                changed = local(weight)
                changed.mul_(1 - lr * group["weight_decay"])
                changed.add_(update, alpha=-_adjust_lr(lr, group["adjust_lr_fn"], weight.shape[-2:]))
        return loss


def orthogonalize(
    matrix: Tensor,
    *,
    coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    steps: int = 5,
    eps: float = 1e-7,
    dtype: torch.dtype = torch.bfloat16,
) -> Tensor:
    """Matrices with the same singular vectors and singular values near 1 (0.5 to 1.5): Newton-Schulz iterations.

    Args:
        matrix: [..., M, N]; each one is normalised and orthogonalised on its own.
        coefficients: of the quintic ``a x + b x^3 + c x^5`` that each iteration applies to the singular values.
        steps: iterations.
        eps: least norm to divide by, so that a zero matrix gives zeros.
        dtype: in which type to compute.

    Returns:
        ``dtype`` [..., M, N].
    """
    a, b, c = coefficients
    add_product = torch.addmm if matrix.ndim == 2 else torch.baddbmm
    tall = matrix.size(-2) > matrix.size(-1)  # the products of rows are then the smaller ones
    x_MN = matrix.to(dtype).mT if tall else matrix.to(dtype)
    x_MN = x_MN / torch.linalg.vector_norm(x_MN, dim=(-2, -1), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram_MM = x_MN @ x_MN.mT
        gram_MM = add_product(gram_MM, gram_MM, gram_MM, beta=b, alpha=c)
        x_MN = add_product(x_MN, gram_MM, x_MN, beta=a)
    return x_MN.mT if tall else x_MN


def _whole(part: Tensor, like: Tensor) -> Tensor:
    """A sharded matrix gathered once, since every product of the iteration would gather; experts stay as they are."""
    if not isinstance(like, DTensor) or like.ndim != 2:
        return part
    sharded = DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )
    return sharded.full_tensor()
