"""Features of patches with their images' labels, one image at a time, and the way from a grid to a label's pixels.

Legend: h and w patches, H and W pixels of a label, D width, R and Q rows and columns of pixels, K channels.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from siglino_core.errors import DataError
from siglino_core.hashing import key_of

HELD_BYTES = 256 << 20  # of images that wait to be drawn in a random order
PART = 1 << 25  # elements that are computed of an upsampled map at once


class DenseSample(NamedTuple):
    """One image."""

    sample_id: str
    patches_hwD: np.ndarray  # fp16 or fp32
    mask_HW: np.ndarray  # class numbers, uint8 or uint16; 255 is ignored


class Dense(Protocol):
    """The images of a split, that can be iterated over again and again, always in the same order.

    Whoever reads holds few of them. Grids and labels may be of any sizes.
    """

    def __iter__(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]: ...


def samples(split: Dense) -> Iterator[DenseSample]:
    """The images, each looked at.

    Raises:
        DataError: features of another form or width than the first image's, or that are not finite; a label that is no
            map of class numbers.
    """
    width = 0
    for sample in map(DenseSample._make, split):
        patches, mask = sample.patches_hwD, sample.mask_HW
        if patches.ndim != 3 or 0 in patches.shape or mask.ndim != 2 or 0 in mask.shape:
            raise DataError(
                f"{sample.sample_id}: patches {patches.shape} and a label {mask.shape}: not [h, w, D], [H, W]"
            )
        width = width or patches.shape[2]
        if patches.shape[2] != width:
            raise DataError(f"{sample.sample_id}: features of {patches.shape[2]} numbers, others of {width}")
        if not np.isfinite(patches).all():
            raise DataError(f"{sample.sample_id}: its features hold NaN or infinity")
        yield sample


def shuffled(
    split: Dense, wanted: Callable[[str], bool], seed: int, held_bytes: int = HELD_BYTES
) -> Iterator[DenseSample]:
    """The wanted images for ever, each once in a round, in an order that the seed decides.

    No more than ``held_bytes`` of them wait at a time, so that a round of a large split is shuffled within a window.

    Raises:
        DataError: a round has no image: the split cannot be iterated over again.
    """
    rng = np.random.default_rng(key_of(seed, "order of images"))
    while True:
        waiting: list[DenseSample] = []
        held = drawn = 0
        for sample in map(DenseSample._make, split):
            if not wanted(sample.sample_id):
                continue
            waiting.append(sample)
            held += sample.patches_hwD.nbytes + sample.mask_HW.nbytes
            while held > held_bytes and len(waiting) > 1:
                one = _pop(waiting, rng)
                held, drawn = held - one.patches_hwD.nbytes - one.mask_HW.nbytes, drawn + 1
                yield one
        while waiting:
            drawn += 1
            yield _pop(waiting, rng)
        if not drawn:
            raise DataError("a second round over the images found none: they must be there again at every iteration")


def _pop(waiting: list[DenseSample], rng: np.random.Generator) -> DenseSample:
    at = int(rng.integers(len(waiting)))
    waiting[at], waiting[-1] = waiting[-1], waiting[at]
    return waiting.pop()


@lru_cache(maxsize=256)
def bilinear(patches: int, pixels: int) -> Tensor:
    """The matrix [pixels, patches] of bilinear interpolation along one side, fp32; as torch's, align_corners=False.

    Two products with such matrices upsample a map, and their gradient is a product too: on every device the same sums
    in the same order, which torch's own gradient of an interpolation does not promise.
    """
    return F.interpolate(torch.eye(patches)[:, None], size=pixels, mode="linear", align_corners=False)[
        :, 0
    ].T.contiguous()


def upsample(map_hwK: Tensor, down_Rh: Tensor, across_Qw: Tensor) -> Tensor:
    """The pixels of some rows and columns of a map's bilinear upsampling: [R, Q, K]."""
    h, w, channels = map_hwK.shape
    tall_RwK = (down_Rh @ map_hwK.reshape(h, w * channels)).view(-1, w, channels)
    return across_Qw @ tall_RwK


def row_parts(height: int, width: int, channels: int) -> list[slice]:
    """Slices of a map's rows, such that a part has no more than :data:`PART` elements or is one row."""
    step = max(1, PART // max(1, width * channels))
    return [slice(top, min(height, top + step)) for top in range(0, height, step)]
