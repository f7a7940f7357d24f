"""Packed attention: all backends agree with the reference, gradients too, and sinks are exact."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from siglino_core.models.attention import Backend, packed_attention
from siglino_core.models.segments import Segments

LENGTHS = [5, 1, 3, 3, 3, 7]
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def inputs(total: int, *, dtype: torch.dtype = torch.float64, heads: int = 2, d: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(total, heads, d)] * 3 + [(heads,)]
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]


def by_hand(q: Tensor, k: Tensor, v: Tensor, sink: Tensor) -> Tensor:
    """Image by image, head by head: a softmax with one more key of logit ``sink`` and value zero."""
    ends = torch.tensor([0, *LENGTHS]).cumsum(0).tolist()
    out = torch.zeros_like(q)
    for a, b in pairwise(ends):
        for h in range(q.shape[1]):
            logits = q[a:b, h] @ k[a:b, h].T / q.shape[-1] ** 0.5
            weights = torch.cat([logits, sink[h].expand(b - a, 1)], dim=1).softmax(1)
            out[a:b, h] = weights[:, :-1] @ v[a:b, h]
    return out


@pytest.mark.parametrize("backend", ["loop", "mask", "flex"])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@torch.no_grad()
def test_by_hand(backend: Backend) -> None:
    q, k, v, sink = inputs(sum(LENGTHS))
    torch.testing.assert_close(packed_attention(q, k, v, LENGTHS, sink, backend), by_hand(q, k, v, sink))


@pytest.mark.parametrize("with_sink", [True, False])
def test_loop_and_mask_agree(with_sink: bool) -> None:
    q, k, v, sink = inputs(sum(LENGTHS) + 4, dtype=torch.float32)
    segments = Segments.of(LENGTHS, total=sum(LENGTHS) + 4)
    leaves = [q, k, v, sink] if with_sink else [q, k, v]
    found = []
    for backend in ("loop", "mask"):
        out = packed_attention(q, k, v, segments, sink if with_sink else None, backend)
        assert not out[sum(LENGTHS) :].any()
        found.append((out, *torch.autograd.grad(out.square().sum(), leaves)))
    for ours, reference in zip(*found, strict=True):
        torch.testing.assert_close(ours, reference, atol=1e-6, rtol=1e-6)
        assert ours.isfinite().all()


def test_a_runs_gradient_is_as_long_as_the_run() -> None:
    """Not as long as the pack: images of many shapes would cost the square of their number."""
    filled: list[int] = []

    class Counts(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if func is torch.ops.aten.slice_backward.default:
                filled.append(out.numel())
            return out

    q, k, v, sink = inputs(96)
    out = packed_attention(q, k, v, [2, 1] * 32, sink, "loop")
    with Counts():
        out.sum().backward()
    assert filled
    assert sum(filled) <= 4 * q.numel()


@pytest.mark.parametrize("backend", ["loop", "mask"])
@pytest.mark.parametrize("with_sink", [True, False])
def test_gradients(backend: Backend, with_sink: bool) -> None:
    segments = Segments.of([3, 1, 2, 2], total=9)
    q, k, v, sink = inputs(9)

    def work(*leaves: Tensor) -> Tensor:
        return packed_attention(*leaves[:3], segments, leaves[3] if with_sink else None, backend)

    assert torch.autograd.gradcheck(work, (q, k, v, sink) if with_sink else (q, k, v))


def test_a_sink_takes_weight_from_the_values() -> None:
    q, k, v, sink = inputs(sum(LENGTHS))
    plain = packed_attention(q, k, v, LENGTHS)
    torch.testing.assert_close(packed_attention(q, k, v, LENGTHS, torch.full_like(sink, -60.0)), plain)
    torch.testing.assert_close(packed_attention(q, k, v, LENGTHS, torch.full_like(sink, 60.0)), torch.zeros_like(plain))


def test_padding_alone() -> None:
    q, k, v, sink = inputs(3)
    out = packed_attention(q, k, v, Segments.of([], total=3), sink)
    assert out.shape == q.shape
    assert not out.any()


@pytest.mark.parametrize("backend", ["loop", "mask"])
def test_a_sink_keeps_its_precision_among_products_in_bf16(backend: Backend) -> None:
    """bf16 would make 19.94 of it 19.875 and 20.06 20.125: seven percent of an output that is 1/(1 + e^s) here."""
    zero = torch.zeros(8, 2, 16, dtype=torch.bfloat16)
    sink = torch.tensor([19.94, 20.06], requires_grad=True)
    out = packed_attention(zero, zero, torch.ones_like(zero), [8], sink, backend).float()
    wanted_8HD = (8 / (8 + sink.detach().exp()))[:, None].expand(8, 2, 16)
    torch.testing.assert_close(out.detach(), wanted_8HD, atol=0, rtol=0.005)
    out.sum().backward()
    assert sink.grad is not None
    torch.testing.assert_close(sink.grad, -8 * 16 * wanted_8HD[0, :, 0], atol=0, rtol=0.01)


def test_refusals() -> None:
    q, k, v, sink = inputs(6)
    with pytest.raises(ValueError, match="backend='fast': one of auto, loop, flash, varlen, flex, mask"):
        packed_attention(q, k, v, [6], sink, "fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="backend='varlen': CUDA alone"):
        packed_attention(q, k, v, [6], sink, "varlen")
    with pytest.raises(ValueError, match="backend='flex' has no gradient on a CPU"):
        packed_attention(q, k, v, [6], sink, "flex")
    with pytest.raises(ValueError, match=r"\[5, H, D\] each"):
        packed_attention(q, k, v, [5], sink)
    with pytest.raises(ValueError, match="an image of no tokens"):
        Segments.of([3, 0])
    with pytest.raises(ValueError, match="2 images of 7 tokens in a pack of 6"):
        Segments.of([3, 4], total=6)


def test_runs_and_images() -> None:
    segments = Segments.of(LENGTHS, total=25)
    assert segments.runs == ((0, 1, 5), (5, 1, 1), (6, 3, 3), (15, 1, 7))
    assert segments.lengths == LENGTHS
    assert segments.image_T.tolist() == [0] * 5 + [1] + [2] * 3 + [3] * 3 + [4] * 3 + [5] * 7 + [6] * 3
    assert segments.offsets.tolist() == [0, 5, 6, 9, 12, 15, 22]
    assert Segments.uniform(3, 4).image_T.tolist() == Segments.of([4, 4, 4]).image_T.tolist()


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize("d", [64, 80, 128])
@pytest.mark.parametrize("with_sink", [True, False])
@pytest.mark.parametrize("backend", ["auto", "loop", "flash", "varlen", "flex"])
def test_on_a_gpu(backend: Backend, with_sink: bool, d: int) -> None:
    lengths = [261, 70, 70, 400, 130]
    total = 1024
    leaves = [x.detach().cuda().requires_grad_() for x in inputs(total, dtype=torch.bfloat16, d=d)]
    segments = Segments.of(lengths, total, device="cuda")
    found = []
    for which, dtype in ((backend, torch.bfloat16), ("mask", torch.float32)):
        q, k, v, sink = (x.to(dtype) for x in leaves)
        out = packed_attention(q, k, v, segments, sink if with_sink else None, which)
        assert not out[sum(lengths) :].any()
        found.append((out, *torch.autograd.grad(out.float().square().sum(), leaves[: 4 if with_sink else 3])))
    for ours, reference in zip(*found, strict=True):
        torch.testing.assert_close(ours.float(), reference.float(), atol=3e-2, rtol=3e-2)


@pytest.mark.gpu
@on_gpu
def test_full_precision_on_a_gpu() -> None:
    q, k, v, sink = (x.detach() for x in inputs(sum(LENGTHS), dtype=torch.float32, d=64))
    wanted = packed_attention(q, k, v, LENGTHS, sink)
    found = packed_attention(q.cuda(), k.cuda(), v.cuda(), LENGTHS, sink.cuda())
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-5, rtol=1e-5)
