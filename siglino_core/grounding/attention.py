"""Attention of texts to their images and to themselves, with the student's sinks.

Legend: T tokens of all images, S tokens of all texts, H heads, D channels of a head, Q documents, L tokens of the
longest text, N tokens of an image.
"""

from typing import Literal

import torch
from torch import Tensor

from siglino_core.grounding.documents import Documents
from siglino_core.models.attention import attend, flex_kernel

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
    """Image by image: its texts together, each of which sees the image and its own past."""
    images = documents.images
    texts_B = [0] * images.images  # tokens of all texts about each image
    for image, length in zip(documents.image_Q, documents.lengths, strict=True):
        texts_B[image] += length
    rest = documents.total - documents.used
    # Cut all at once: the gradient of a slice is as long as what it is cut from.
    q, k, v = (x_SHD.split([*texts_B, rest]) for x_SHD in (q_SHD, k_SHD, v_SHD))
    cut = [*images.lengths, images.total - images.used]
    image_k, image_v = image_k_THD.split(cut), image_v_THD.split(cut)
    document = documents.document_S.split([*texts_B, rest])
    parts = []
    for i, tokens in enumerate(texts_B):
        if tokens == 0:
            continue
        past_SS = (document[i][:, None] == document[i]).tril()
        seen = torch.cat([past_SS.new_ones(tokens, images.lengths[i]), past_SS], dim=1)
        keys, values = torch.cat([image_k[i], k[i]]), torch.cat([image_v[i], v[i]])
        parts.append(_batched(q[i][None], keys[None], values[None], sink_H, seen)[0])
    if rest or not parts:
        parts.append(torch.zeros_like(q[-1]))
    return torch.cat(parts)


def _batched(q_QLHD: Tensor, k_QKHD: Tensor, v_QKHD: Tensor, sink_H: Tensor, seen: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q_QLHD, k_QKHD, v_QKHD))
    return attend(q, k, v, sink_H, seen).transpose(1, 2)
