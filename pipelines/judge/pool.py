"""A labelled pool to judge recipes on, from arrays: checked, of unit length, every image with an id.

Legend: N images, D channels, F numbers of an image's pixels.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import blocks
from siglino_core.hashing import id_bits

MOST = 500_000  # images: the judge holds a pool in memory
MAGIC = b"\x93NUMPY"
JUNK_OF_ARRAYS = "half isotropic unit vectors, half images' own vectors with their channels in another order"
Junk = tuple[np.ndarray, np.ndarray | None]  # embeddings fp32 [J, D], and pixels [J, F] where the pool has them


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedPool:
    """What recipes choose from.

    Attributes:
        origin: where it is from, in words.
        unit_ND: fp32, of length 1, as the embed stage stores it.
        label_N: class numbers; -1 for none.
        names: of the classes.
        ids: one an image, as the source stage gives them: random choices hang on them.
        sizes_N2: width and height of every image; None: all alike.
        pixels_NF: numbers of any type, what a cheap student sees of an image; None: there are none.
        noise: embeds noise images (how many, seed), and gives their pixels; None: vectors alone can be planted.
        junk: what is planted, in words.
    """

    origin: str
    unit_ND: np.ndarray
    label_N: np.ndarray
    names: Sequence[str]
    ids: list[str]
    sizes_N2: np.ndarray | None = None
    pixels_NF: np.ndarray | None = None
    noise: Callable[[int, int], Junk] | None = None
    junk: str = JUNK_OF_ARRAYS

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bits_N(self) -> np.ndarray:
        """uint64, of the ids."""
        return id_bits(self.ids)


def of_arrays(embeddings: str, labels: str, pixels: str = "") -> JudgedPool:
    """The pool of two or three .npy files.

    Args:
        embeddings: float [N, D], of any length.
        labels: [N], whole numbers or texts; a negative number or an empty text is no label.
        pixels: [N, ...] of any type; more dimensions are laid in a row.

    Raises:
        DataError: a file that is no array, holds pickled objects, has another shape, or rows that nobody can use.
    """
    found_ND, label_N = read(embeddings, "embeddings"), read(labels, "labels")
    if found_ND.ndim != 2 or found_ND.dtype.kind not in "fiu" or not found_ND.size:
        raise DataError(
            f"embeddings={embeddings} is {found_ND.dtype} of shape {found_ND.shape}: numbers of shape [N, D] are "
            "needed."
        )
    if label_N.ndim != 1:
        raise DataError(f"labels={labels} has shape {label_N.shape}: one label an image, shape [N], is needed.")
    if len(label_N) != len(found_ND):
        raise DataError(
            f"embeddings={embeddings} has {len(found_ND):,} rows and labels={labels} {len(label_N):,}: each row needs "
            "its label."
        )
    require_room(len(found_ND), f"embeddings={embeddings}")
    names, label_N = numbered(label_N, f"labels={labels}")
    pixels_NF = None
    if pixels:
        found = read(pixels, "pixels")
        if found.ndim < 2 or len(found) != len(found_ND) or found.dtype.kind not in "fiu":
            raise DataError(
                f"pixels={pixels} is {found.dtype} of shape {found.shape} for {len(found_ND):,} embeddings: numbers "
                "of shape [N, ...] are needed."
            )
        if not found[0].size:
            raise DataError(f"pixels={pixels} has shape {found.shape}: a side is 0, so that no image has a pixel.")
        pixels_NF = np.asarray(found).reshape(len(found), -1)
        _require(np.isfinite(pixels_NF).all(axis=1), f"pixels={pixels}", "is not finite")
        if all((pixels_NF[rows] == pixels_NF[0]).all() for rows in blocks(*pixels_NF.shape)):
            raise DataError(
                f"pixels={pixels}: all {len(pixels_NF):,} images are equal, so that no student can tell one from "
                "another. Leave pixels= out."
            )
    return JudgedPool(
        origin=embeddings,
        unit_ND=unit(found_ND, f"embeddings={embeddings}"),
        label_N=label_N,
        names=names,
        ids=[hashlib.sha256(b"row %d" % row).hexdigest()[:32] for row in range(len(found_ND))],
        pixels_NF=pixels_NF,
    )


def require_room(images: int, what: str) -> None:
    """Refuse what does not fit.

    Raises:
        DataError: there are more than the judge takes.
    """
    if images > MOST:
        raise DataError(f"{what} has {images:,} images: the judge holds them in memory, and takes {MOST:,} at most.")


def read(path: str, what: str) -> np.ndarray:
    """An array of a .npy file, mapped and not read.

    Raises:
        DataError: there is none, or it is pickled.
    """
    try:
        with Path(path).open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise DataError(f"{what}={path} is no .npy file; numpy.save writes one.")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as e:
        raise DataError(f"{what}={path} cannot be read ({e.strerror or e}).") from e
    except ValueError as e:
        if "Python objects" in str(e):  # a dtype that cannot be mapped
            kind = "str" if what == "labels" else "np.float32"
            raise DataError(
                f"{what}={path} holds pickled objects, which are not loaded: they may run code. Save numbers"
                f"{' or texts' if what == 'labels' else ''} (for example {what}.astype({kind}))."
            ) from e
        raise DataError(f"{what}={path} is damaged ({e}).") from e


def numbered(label_N: np.ndarray, what: str) -> tuple[list[str], np.ndarray]:
    """The names of the labels, and each image's class number; -1 for none.

    Raises:
        DataError: labels that are neither whole numbers nor texts, or fewer than two.
    """
    if label_N.dtype.kind not in "iubUS":
        raise DataError(f"{what} is {label_N.dtype}: whole numbers or texts are needed.")
    texts = label_N.dtype.kind in "US"
    values, number_N = np.unique(label_N, return_inverse=True)
    there = np.array([bool(v) if texts else v >= 0 for v in values])
    if there.sum() < 2:
        one = f" ({values[there][0]})" if there.any() else ""
        raise DataError(f"{what}: {there.sum()} label{one}; what a sample teaches needs at least two.")
    place = np.cumsum(there) - 1
    place[~there] = -1
    names = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values[there]]
    return names, place[number_N.reshape(-1)].astype(np.int64)


def unit(found_ND: np.ndarray, what: str) -> np.ndarray:
    """Rows at length 1 as the embed stage stores them, float16, and back in fp32.

    Raises:
        DataError: a row that is not finite, or all zeros.
    """
    out_ND = np.empty(found_ND.shape, np.float32)
    for rows in blocks(*found_ND.shape):
        part = np.asarray(found_ND[rows], np.float64)
        _require(np.isfinite(part).all(axis=1), what, "is not finite", rows.start)
        largest = np.abs(part).max(1, keepdims=True)
        _require(largest[:, 0] > 0, what, "is all zeros, and has no direction", rows.start)
        part = part / largest  # so that no square overflows or vanishes
        out_ND[rows] = (part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float16)
    return out_ND


def _require(good_N: Any, what: str, fault: str, start: int = 0) -> None:
    if not good_N.all():
        bad = int((~good_N).sum())
        others = f", and {bad - 1:,} more" if bad > 1 else ""
        raise DataError(f"{what}: row {start + int((~good_N).argmax())} {fault}{others}. Leave such rows out.")
