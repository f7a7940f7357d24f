"""Which test images training has seen: the same bytes, or features that are all but the same.

Legend: N test images, M training images of a block, D channels.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from siglino_core.errors import DataError

QUERIES, BLOCK = 2048, 8192  # so that a product of both takes 64 MB in fp32


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """A block of training images.

    Attributes:
        image_ids: SHA-256 of each one's encoded bytes, first 32 hex digits.
        vectors: float [M, D], of any length but zero; None: they are compared by their bytes alone.
    """

    image_ids: Sequence[str]
    vectors: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Match:
    """A test image, and the training image that is most like it.

    Attributes:
        cosine: of their features; 1 where they are the same bytes.
        exact: whether they are the same bytes.
    """

    test_id: str
    train_id: str
    cosine: float
    exact: bool


def overlap(
    image_ids: Sequence[str],
    vectors_ND: np.ndarray | None,
    blocks: Iterable[Seen],
    threshold: float,
    *,
    device: str = "cpu",
) -> list[Match]:
    """The test images that training has seen, in their order, each with the training image that is most like it.

    The same bytes come before any cosine; of equal cosines the first counts. Memory holds one block at a time.

    Args:
        image_ids: of the test images, as in :class:`Seen`.
        vectors_ND: their features, from the network that made the blocks'; None: bytes alone.
        threshold: cosine from which on two images are the same.

    Raises:
        DataError: features are not finite, zero, or of different widths.
    """
    wanted = set(image_ids)
    exact: set[str] = set()
    cosine_N = np.full(len(image_ids), -np.inf, np.float32)
    train_N: list[str] = [""] * len(image_ids)
    queries_ND = None if vectors_ND is None else unit(vectors_ND, "the test images' features")
    for block in blocks:
        exact |= wanted.intersection(block.image_ids)
        if queries_ND is None or block.vectors is None or not len(block.vectors) or not len(queries_ND):
            continue
        best_N, index_N = closest(queries_ND, unit(block.vectors, "the training images' features"), device=device)
        for i in np.flatnonzero(best_N > cosine_N).tolist():
            cosine_N[i], train_N[i] = best_N[i], block.image_ids[int(index_N[i])]
    matches: list[Match] = []
    for i, test_id in enumerate(image_ids):
        if test_id in exact:
            matches.append(Match(test_id=test_id, train_id=test_id, cosine=1.0, exact=True))
        elif cosine_N[i] >= threshold:
            matches.append(Match(test_id=test_id, train_id=train_N[i], cosine=float(cosine_N[i]), exact=False))
    return matches


def unit(vectors_ND: np.ndarray, what: str) -> np.ndarray:
    """Vectors at unit length: fp32 [N, D].

    Raises:
        DataError: one is zero or not finite.
    """
    x_ND = np.asarray(vectors_ND, np.float32)
    norm_N = np.linalg.norm(x_ND.astype(np.float64), axis=1)
    bad = np.flatnonzero(~np.isfinite(norm_N) | (norm_N == 0))
    if len(bad):
        raise DataError(f"{what}: vector {bad[0]} of {len(x_ND)} is zero or not finite. Compute them anew.")
    return (x_ND / norm_N[:, None]).astype(np.float32)


def closest(queries_ND: np.ndarray, block_MD: np.ndarray, *, device: str = "cpu") -> tuple[np.ndarray, np.ndarray]:
    """The largest cosine of each query with a block, and with which of it: fp32 [N], int64 [N]; ties to the first.

    Args:
        queries_ND, block_MD: fp32, of unit length; the block is not empty.

    Raises:
        DataError: they are of different widths.
    """
    if queries_ND.shape[1] != block_MD.shape[1]:
        raise DataError(
            f"features of {queries_ND.shape[1]} and of {block_MD.shape[1]} channels cannot be compared: give those of "
            "one network."
        )
    cosine_N = np.full(len(queries_ND), -np.inf, np.float32)
    index_N = np.full(len(queries_ND), -1, np.int64)
    for first, part_MD in _parts(block_MD, BLOCK):
        part = torch.from_numpy(part_MD).to(device)
        for start, part_ND in _parts(queries_ND, QUERIES):
            best, at = (torch.from_numpy(part_ND).to(device) @ part.T).max(1)
            best_n, at_n = best.cpu().numpy(), at.cpu().numpy()
            here = slice(start, start + len(best_n))
            better = best_n > cosine_N[here]
            cosine_N[here] = np.where(better, best_n, cosine_N[here])
            index_N[here] = np.where(better, at_n + first, index_N[here])
    return cosine_N, index_N


def _parts(vectors_ND: np.ndarray, size: int) -> Iterator[tuple[int, np.ndarray]]:
    return ((start, vectors_ND[start : start + size]) for start in range(0, len(vectors_ND), size))
