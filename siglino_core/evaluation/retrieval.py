"""Texts find their image, and images their texts: ranks, and the share within the first k.

A text's rank is 1 + the number of other images as similar as its own, or more. An image's rank is that of its most
similar text: 1 + the number of other images' texts as similar as that, or more; its own texts do not push one another
down. Ties count against, so that features that know nothing find nothing. An image without texts is a candidate for
texts but no query. These are CLIP's conventions (Radford et al. 2021), ties apart.

Legend: N images, M texts, D width, n images or m texts of a block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, blocks, class_ids, cosines, matrix, plain, same_width, unit

KS = (1, 5, 10)
T2I, I2T = "text_to_image", "image_to_text"


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranks:
    """Ranks from 1.

    Attributes:
        text_to_image_M: of each text's image, int64.
        image_to_text_Q: of the best text of each image that has one, int64.
        images_Q: which images these are, int64, rising.
    """

    text_to_image_M: np.ndarray
    image_to_text_Q: np.ndarray
    images_Q: np.ndarray


def retrieval_ranks(images: Array, texts: Array, text_to_image: Array) -> Ranks:
    """Ranks from features, whose cosines are never all in memory.

    Args:
        images: [N, D], of any length; texts: [M, D], of any length.
        text_to_image: which image each text is of, [M], in any order, any number each.

    Raises:
        DataError: no texts, widths differ, an image number out of range, or rows that are not finite or zero.
    """
    images_ND = unit(images, "features of images", dtype=np.float64)
    texts_MD = unit(texts, "features of texts", dtype=np.float64)
    same_width(images_ND, texts_MD, "features of images and texts")
    image_M = _images(text_to_image, len(images_ND), len(texts_MD))
    own_M = np.empty(len(texts_MD), np.float32)
    for rows in blocks(len(texts_MD), texts_MD.shape[1]):
        own_M[rows] = np.einsum("md,md->m", images_ND[image_M[rows]], texts_MD[rows]).astype(np.float32)
    return _ranks(lambda rows: cosines(images_ND[rows], texts_MD), own_M, image_M, len(images_ND))


def ranks(similarity: Array, text_to_image: Array) -> Ranks:
    """Ranks from similarities.

    Args:
        similarity: images by texts, [N, M].
        text_to_image: which image each text is of, [M].

    Raises:
        DataError: no texts, an image number out of range, or similarities that are not finite.
    """
    similarity_NM = matrix(similarity, "similarities")
    n, m = similarity_NM.shape
    image_M = _images(text_to_image, n, m)
    return _ranks(lambda rows: similarity_NM[rows].copy(), similarity_NM[image_M, np.arange(m)], image_M, n)


def ranks_by_blocks(similar: Callable[[slice], np.ndarray], text_to_image: Array, images: int) -> Ranks:
    """Ranks from similarities that are computed a block of images at a time, twice.

    Args:
        similar: the similarities of some images and all texts, [n, M], its own to keep; the same at every call.
        text_to_image: which image each text is of, [M].
        images: how many there are.

    Raises:
        DataError: no texts, an image number out of range.
    """
    image_M = _images(text_to_image, images, len(plain(text_to_image)))
    own_M = np.empty(len(image_M), np.float32)
    for rows in blocks(images, len(image_M)):
        pairs = ((image_M >= rows.start) & (image_M < rows.stop)).nonzero()[0]
        own_M[pairs] = similar(rows)[image_M[pairs] - rows.start, pairs]
    return _ranks(similar, own_M, image_M, images)


def text_ranks_by_blocks(similar: Callable[[slice], np.ndarray], text_to_image: Array, images: int) -> np.ndarray:
    """Each text's rank, int64 [M], from similarities that are computed a block of texts at a time.

    Args:
        similar: the similarities of some texts and all images, [m, N].
        text_to_image: which image each text is of, [M].

    Raises:
        DataError: as :func:`ranks_by_blocks`.
    """
    image_M = _images(text_to_image, images, len(plain(text_to_image)))
    found_M = np.empty(len(image_M), np.int64)
    for rows in blocks(len(image_M), images):
        similar_mN = similar(rows)
        own_m1 = np.take_along_axis(similar_mN, image_M[rows][:, None], 1)
        found_M[rows] = (similar_mN >= own_m1).sum(1)  # the right one itself is the 1
    return found_M


def recall_at_k(similarity: Array, text_to_image: Array, ks: Sequence[int] = KS) -> dict[str, dict[int, float]]:
    """The share of queries that find what they look for among the first k: by direction, by k.

    Args and raises: as :func:`ranks`.
    """
    return recalls(ranks(similarity, text_to_image), ks)


def recalls(found: Ranks, ks: Sequence[int] = KS) -> dict[str, dict[int, float]]:
    """The share of queries of rank k or better: by direction, by k."""
    return {
        T2I: {k: share_within(found.text_to_image_M, k) for k in ks},
        I2T: {k: share_within(found.image_to_text_Q, k) for k in ks},
    }


def share_within(ranks_Q: np.ndarray, k: int, *, missed: int = 0) -> float:
    """The share of queries of rank k or better; ``missed`` ones, which could not be read, are not.

    Raises:
        DataError: k below 1, or no queries.
    """
    if k < 1:
        raise DataError(f"k = {k}: the first k are at least one")
    if not len(ranks_Q) + missed:
        raise DataError("no queries: a share needs at least one")
    return float((ranks_Q <= k).sum() / (len(ranks_Q) + missed))


def median_rank(ranks_Q: np.ndarray) -> float:
    """The median rank; between two it is their mean.

    Raises:
        DataError: no queries.
    """
    if not len(ranks_Q):
        raise DataError("no queries: a median needs at least one")
    return float(np.median(ranks_Q))


def _images(text_to_image: Array, n: int, m: int) -> np.ndarray:
    if not m:
        raise DataError("no texts: retrieval needs at least one")
    return class_ids(text_to_image, "text_to_image", rows=m, num_classes=n)


def _ranks(similar: Callable[[slice], np.ndarray], own_M: np.ndarray, image_M: np.ndarray, n: int) -> Ranks:
    """Count, a block of images at a time, what is as similar as the right ones.

    Args:
        similar: the similarities of a block's images and all texts, [n, M], its own to keep.
        own_M: of each text and its image.
    """
    m = len(own_M)
    best_N = np.full(n, np.inf, own_M.dtype)
    asked_N = np.zeros(n, bool)
    asked_N[image_M] = True
    best_N[asked_N] = -np.inf
    np.maximum.at(best_N, image_M, own_M)
    order_M = np.argsort(image_M, kind="stable")
    starts = np.searchsorted(image_M[order_M], np.arange(n + 1))
    texts_M, images_N = np.ones(m, np.int64), np.ones(n, np.int64)
    for rows in blocks(n, m):
        similar_nM = similar(rows)
        pairs = order_M[starts[rows.start] : starts[rows.stop]]  # texts of these images
        similar_nM[image_M[pairs] - rows.start, pairs] = -np.inf
        texts_M += (similar_nM >= own_M).sum(0)
        images_N[rows] += (similar_nM >= best_N[rows, None]).sum(1)
    asked = asked_N.nonzero()[0]
    return Ranks(text_to_image_M=texts_M, image_to_text_Q=images_N[asked], images_Q=asked)
