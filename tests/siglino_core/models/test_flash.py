"""Flash attention's own backward pass with a sink, on stand-ins of torch's kernels that do what theirs do.

The stand-ins compute in fp64, and read what the kernels read: weights from the log-sum-exp that they are handed.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from siglino_core.models.flash import flash_with_sink
from tests.siglino_core.models.test_attention import LENGTHS, by_hand, inputs


def forward(q: Tensor, k: Tensor, v: Tensor, ends: Tensor, *rest: Any, scale: float) -> tuple[Tensor, ...]:
    out, lse_HT = torch.empty_like(q), q.new_empty(q.shape[1], len(q), dtype=torch.float32)
    for a, b in pairwise(ends.tolist()):
        scores_HQK = torch.einsum("qhd,khd->hqk", q[a:b], k[a:b]) * scale
        lse_HT[:, a:b] = scores_HQK.logsumexp(-1)
        out[a:b] = torch.einsum("hqk,khd->qhd", scores_HQK.softmax(-1), v[a:b])
    return out, lse_HT, q.new_empty(0), q.new_empty(0), q.new_empty(0)


def backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse_HT: Tensor, ends: Tensor, *rest: Any, scale: float
) -> tuple[Tensor, ...]:
    dq, dk, dv = (torch.empty_like(x) for x in (q, k, v))
    for a, b in pairwise(ends.tolist()):
        weights_HQK = (torch.einsum("qhd,khd->hqk", q[a:b], k[a:b]) * scale - lse_HT[:, a:b, None]).exp()
        of_weights_HQK = torch.einsum("qhd,khd->hqk", grad[a:b], v[a:b])
        rest_HQ1 = (grad[a:b] * out[a:b]).sum(-1).T[..., None]
        of_scores_HQK = weights_HQK * (of_weights_HQK - rest_HQ1) * scale
        dq[a:b] = torch.einsum("hqk,khd->qhd", of_scores_HQK, k[a:b])
        dk[a:b] = torch.einsum("hqk,qhd->khd", of_scores_HQK, q[a:b])
        dv[a:b] = torch.einsum("hqk,qhd->khd", weights_HQK, grad[a:b])
    return dq, dk, dv


@pytest.fixture(autouse=True)
def _kernels() -> Iterator[None]:
    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl("_flash_attention_forward", forward, "CPU")
        library.impl("_flash_attention_backward", backward, "CPU")
        yield


def test_values_and_gradients() -> None:
    leaves = inputs(sum(LENGTHS))
    ends = torch.tensor([0, *LENGTHS]).cumsum(0).int()
    found, wanted = flash_with_sink(*leaves[:3], ends, max(LENGTHS), leaves[3]), by_hand(*leaves)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)  # the log-sum-exp is fp32, as the kernels' is
    grad = torch.randn(wanted.shape, dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad(found, leaves, grad), torch.autograd.grad(wanted, leaves, grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
