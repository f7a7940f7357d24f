"""Texts' attention: every backend, against a plain formula, with gradients."""

import pytest
import torch
from torch import Tensor

from siglino_core.grounding.attention import text_attention
from siglino_core.grounding.documents import Documents
from siglino_core.models.segments import Segments

H, D = 2, 8


def inputs() -> tuple[Documents, list[Tensor]]:
    documents = Documents.of(Segments.of([5, 3, 3], total=13), [0, 2, 2], [4, 1, 6], total=14)
    generator = torch.Generator().manual_seed(0)
    sizes = [14, 14, 14, 13, 13]
    return documents, [torch.randn(n, H, D, generator=generator) for n in sizes] + [torch.tensor([0.3, -1.0])]


def plain(
    q: Tensor, k: Tensor, v: Tensor, image_k: Tensor, image_v: Tensor, documents: Documents, sink: Tensor
) -> Tensor:
    out = torch.zeros_like(v)
    first_image, first = [0, 5, 8], 0
    for image, length in zip(documents.image_Q, documents.lengths, strict=True):
        begin = first_image[image]
        own = slice(begin, begin + documents.images.lengths[image])
        for t in range(first, first + length):
            keys, values = torch.cat([image_k[own], k[first : t + 1]]), torch.cat([image_v[own], v[first : t + 1]])
            for h in range(H):
                scores = keys[:, h] @ q[t, h] / D**0.5
                weights = torch.cat([scores, sink[h : h + 1]]).softmax(0)[:-1]
                out[t, h] = weights @ values[:, h]
        first += length
    return out


@pytest.mark.parametrize("backend", ["loop", "mask", "flex"])
def test_against_a_plain_formula(backend: str) -> None:
    documents, (q, k, v, image_k, image_v, sink) = inputs()
    found = text_attention(q, k, v, image_k, image_v, documents, sink, backend)  # type: ignore[arg-type]
    torch.testing.assert_close(found, plain(q, k, v, image_k, image_v, documents, sink), atol=1e-5, rtol=0)
    assert found[documents.used :].abs().sum() == 0


def test_gradients_are_the_plain_formulas() -> None:
    documents, given = inputs()
    found = [x.clone().requires_grad_() for x in given]
    wanted = [x.double().requires_grad_() for x in given]
    weight = torch.randn(14, H, D, generator=torch.Generator().manual_seed(1))
    (text_attention(*found[:5], documents, found[5]) * weight).sum().backward()
    (plain(*wanted[:5], documents, wanted[5]) * weight).sum().backward()
    for a, b in zip(found, wanted, strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad.float(), atol=1e-5, rtol=0)


def test_an_unknown_backend() -> None:
    documents, given = inputs()
    with pytest.raises(ValueError, match="one of auto, loop, flex, mask"):
        text_attention(*given[:5], documents, given[5], "fast")  # type: ignore[arg-type]


def test_no_texts() -> None:
    _, (q, k, v, image_k, image_v, sink) = inputs()
    documents = Documents.of(Segments.of([5, 3, 3], total=13), [], [])
    assert text_attention(q[:0], k[:0], v[:0], image_k, image_v, documents, sink).shape == (0, H, D)
