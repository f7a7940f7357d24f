"""Boxes as bins: centres by equal steps, sides by equal ratios, both in units of the image's own sides.

Legend: K boxes, 2 axes (x, y), n bins.

Source: as in Pix2Seq (Chen et al. 2022, arXiv 2109.10852) for centres; sides by their logarithm, so that a small box's
are as exact, for its size, as a large one's.
"""

import torch
from torch import Tensor

BINS = 1024
OCTAVES = 10  # the smallest side is 2^-10 of the image's


def to_centres(boxes_K4: Tensor, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Boxes (x0, y0, x1, y1) in pixels to their centres and sides, [K, 2] each, in units of the image's sides."""
    sides_2 = boxes_K4.new_tensor([width, height])
    low_K2, high_K2 = boxes_K4[:, :2] / sides_2, boxes_K4[:, 2:] / sides_2
    return (low_K2 + high_K2) / 2, high_K2 - low_K2


def to_boxes(centre_K2: Tensor, side_K2: Tensor, width: int, height: int) -> Tensor:
    """The reverse of :func:`to_centres`, [K, 4], cut at the image's edges."""
    sides_2 = centre_K2.new_tensor([width, height])
    low_K2 = (centre_K2 - side_K2 / 2).clamp(0, 1) * sides_2
    high_K2 = (centre_K2 + side_K2 / 2).clamp(0, 1) * sides_2
    return torch.cat([low_K2, high_K2], dim=1)


def coordinate_place(centre: Tensor, bins: int = BINS) -> Tensor:
    """Where numbers from 0 to 1 lie among the bins: bin i is from i to i + 1."""
    return centre * bins


def coordinate_of(bin_: Tensor, bins: int = BINS) -> Tensor:
    """A bin's middle: at most 1 / 2n from any number in it."""
    return (bin_.float() + 0.5) / bins


def size_place(side: Tensor, bins: int = BINS) -> Tensor:
    """Where sides lie among the bins, whose middles are 2^-10 to 1 in equal ratios; smaller ones are in the first."""
    return (side.clamp(min=2.0**-OCTAVES).log2() + OCTAVES) * ((bins - 1) / OCTAVES) + 0.5


def size_of(bin_: Tensor, bins: int = BINS) -> Tensor:
    """A bin's side, 2^(-10 + 10 i / (n - 1)): within 0.34% of any side of that bin, for 1,024 bins."""
    return torch.exp2(bin_.float() * (OCTAVES / (bins - 1)) - OCTAVES)


def bins_of(place: Tensor, bins: int = BINS) -> Tensor:
    """The bin of each place, int64."""
    return place.floor().long().clamp(0, bins - 1)
