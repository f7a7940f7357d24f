"""Attention of texts to their images and to themselves, with the student's sinks.

Legend: T tokens of all images, S tokens of all texts, H heads, D channels of a head, Q documents, L tokens of the
longest text, N tokens of an image.
"""

from typing import Literal

import torch
from torch import Tensor

from siglino_core.grounding.documents import Documents
from siglino_core.models.attention import attend, flex_kernel
from siglino_core.models.segments import Segments

TextBackend = Literal["auto", "loop", "flex", "mask"]


def text_attention(
    q_SHD: Tensor,
    k_SHD: Tensor,
    v_SHD: Tensor,
    image_k_THD: Tensor,
    image_v_THD: Tensor,
    documents: Documents,
    sink_H: Tensor,
    backend: TextBackend = "auto",
) -> Tensor:
    """Softmax attention of every text's tokens, scale 1 / sqrt(D); [S, H, D], zero for padding.

    Args:
        backend: ``loop`` (image by image: for CPUs), ``flex`` (CUDA; on CPUs the forward pass alone), ``mask`` (all
            pairs: the reference), or ``auto``.

    Raises:
        ValueError: an unknown backend.
    """
    if backend == "auto":
        backend = "flex" if v_SHD.is_cuda else "loop"
    q_SHD, k_SHD = q_SHD.to(v_SHD.dtype), k_SHD.to(v_SHD.dtype)
    image_k_THD, image_v_THD = image_k_THD.to(v_SHD.dtype), image_v_THD.to(v_SHD.dtype)
    if backend == "loop":
        return _loop(q_SHD, k_SHD, v_SHD, image_k_THD, image_v_THD, documents, sink_H)
    k_KHD, v_KHD = torch.cat([image_k_THD, k_SHD]), torch.cat([image_v_THD, v_SHD])
    if backend == "mask":
        seen_SK = documents.mask_SK
        out_SHD = _batched(q_SHD[None], k_KHD[None], v_KHD[None], sink_H, seen_SK)[0]
    elif backend == "flex":
        out_SHD = flex_kernel(q_SHD, k_KHD, v_KHD, documents.block_mask, sink_H)
    else:
        raise ValueError(f"backend={backend!r}: one of auto, loop, flex, mask")
    used = documents.used
    return out_SHD if used == documents.total else torch.cat([out_SHD[:used], torch.zeros_like(out_SHD[used:])])


def cached_attention(
    q_QLHD: Tensor,
    k_QKHD: Tensor,
    v_QKHD: Tensor,
    image_k_NHD: Tensor,
    image_v_NHD: Tensor,
    seen_QLK: Tensor,
    sink_H: Tensor,
) -> Tensor:
    """Of Q texts about one image, padded to one length, the newest L tokens: [Q, L, H, D].

    Args:
        seen_QLK: bool, which of the text's keys each token sees; all see the image.
    """
    texts, new = q_QLHD.shape[:2]
    q, k, v = q_QLHD.to(v_QKHD.dtype), k_QKHD.to(v_QKHD.dtype), v_QKHD
    k = torch.cat([image_k_NHD.to(v.dtype).expand(texts, -1, -1, -1), k], dim=1)
    v = torch.cat([image_v_NHD.to(v.dtype).expand(texts, -1, -1, -1), v], dim=1)
    to_image = seen_QLK.new_ones(texts, new, len(image_k_NHD))
    return _batched(q, k, v, sink_H, torch.cat([to_image, seen_QLK], dim=2)[:, None])


def _loop(
    q_SHD: Tensor,
    k_SHD: Tensor,
    v_SHD: Tensor,
    image_k_THD: Tensor,
    image_v_THD: Tensor,
    documents: Documents,
    sink_H: Tensor,
) -> Tensor:
    """Run by run of images of one length: the texts of each together, padded to the run's longest."""
    images = documents.images
    most = documents.most
    parts = []
    # Cut all at once: the gradient of a slice is as long as what it is cut from.
    image_k, image_v = (_runs(x_THD, images) for x_THD in (image_k_THD, image_v_THD))
    for run, ((_, count, length), k_TKHD, v_TKHD) in enumerate(zip(images.runs, image_k, image_v, strict=True)):
        if not most[run]:
            continue
        at_n, token_n, seen_RLK = documents.padded[run]
        q, k, v = (
            x.new_zeros(count * most[run], *x.shape[1:]).index_copy(0, at_n, x[token_n]).unflatten(0, (count, -1))
            for x in (q_SHD, k_SHD, v_SHD)
        )
        keys = torch.cat([k_TKHD.unflatten(0, (count, length)), k], dim=1)
        values = torch.cat([v_TKHD.unflatten(0, (count, length)), v], dim=1)
        parts.append(_batched(q, keys, values, sink_H, seen_RLK[:, None]).flatten(0, 1)[at_n])
    rest = documents.total - documents.used
    if rest or not parts:
        parts.append(torch.zeros_like(q_SHD[documents.used :]))
    return torch.cat(parts)


def _runs(x_THD: Tensor, images: Segments) -> list[Tensor]:
    counts = [count * length for _, count, length in images.runs]
    return list(x_THD.split([*counts, images.total - images.used])[:-1])


def _batched(q_QLHD: Tensor, k_QKHD: Tensor, v_QKHD: Tensor, sink_H: Tensor, seen: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q_QLHD, k_QKHD, v_QKHD))
    return attend(q, k, v, sink_H, seen).transpose(1, 2)
