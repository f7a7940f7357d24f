"""The grouped product: every backend equals a product per group; our kernel runs interpreted where there is no GPU."""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from siglino_core.models.grouped import Product, grouped_linear

SIZES = [3, 0, 70, 1, 0, 130]
INTERPRETED = """
import torch
from siglino_core.models.grouped import grouped_linear
from tests.siglino_core.models.test_grouped import check, inputs

check("triton", *inputs(torch.float32), atol=1e-5)
check("triton", *inputs(torch.float32, sizes=[0, 0, 5]), atol=1e-5)
check("triton", *inputs(torch.float32, sizes=[64, 128]), atol=1e-5)
print("as the product per group")
"""


def inputs(dtype: torch.dtype, sizes: list[int] = SIZES, k: int = 40, m: int = 136) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(sum(sizes), k, generator=generator).to(dtype).requires_grad_()
    w = torch.randn(len(sizes), m, k, generator=generator).to(dtype).requires_grad_()
    return x, w, torch.tensor(sizes).cumsum(0).int()


def check(backend: Product, x: Tensor, w: Tensor, offsets: Tensor, atol: float) -> None:
    """Output and both gradients against one plain product per group."""
    ends = offsets.tolist()
    parts = [x[a:b] @ w[e].T for e, (a, b) in enumerate(zip([0, *ends], ends, strict=False))]
    found, wanted = grouped_linear(x, w, offsets, backend), torch.cat(parts)
    grad = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1)).to(x)
    torch.testing.assert_close(found, wanted, atol=atol, rtol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad(found, (x, w), grad), torch.autograd.grad(wanted, (x, w), grad), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=10 * atol, rtol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "loop", "auto"])
def test_products_and_gradients(backend: Product) -> None:
    check(backend, *inputs(torch.float32), atol=1e-5)


def test_auto_takes_any_shape_and_precision() -> None:
    check("auto", *inputs(torch.float64), atol=1e-12)
    check("auto", *inputs(torch.float32, k=5, m=3), atol=1e-5)
    check("auto", *inputs(torch.bfloat16), atol=0.2)


def test_gradcheck() -> None:
    x, w, offsets = inputs(torch.float64, sizes=[2, 0, 3], k=3, m=4)
    assert torch.autograd.gradcheck(lambda x, w: grouped_linear(x, w, offsets), (x, w))


def test_an_unknown_backend() -> None:
    with pytest.raises(ValueError, match="backend='cublas': one of auto, torch, triton, loop"):
        grouped_linear(*inputs(torch.float32), backend="cublas")  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform != "linux", reason="Triton comes with torch on Linux alone")
def test_the_triton_kernel_interpreted() -> None:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-c", INTERPRETED],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "as the product per group" in done.stdout, done.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("dtype", "atol"), [(torch.bfloat16, 0.25), (torch.float32, 1e-3)])
def test_the_triton_kernel_on_a_gpu(dtype: torch.dtype, atol: float) -> None:
    sizes = [700, 0, 1, 3000, 129]
    x, w, offsets = (t.detach().cuda() for t in inputs(dtype, sizes=sizes, k=768, m=384))
    check("triton", x.requires_grad_(), w.requires_grad_(), offsets, atol=atol)
