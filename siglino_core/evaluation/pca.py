"""Features as colours: their first three principal components, scaled to red, green and blue.

N features, D channels, K components.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siglino_core.distillation.targets.phi_s import Moments

PERCENTILES = (1.0, 99.0)  # what lies outside is clipped, so that a few odd patches don't grey out all others
GREY = 0.5
NOISE = 1e-10  # a variance below this share of the first one is fp32's rounding, not a direction
CONSTANT = 1e-12  # as in PHI-S: what rounding leaves of a constant, beside the mean


@dataclass(frozen=True, kw_only=True, eq=False)
class Basis:
    """The mean and the first principal directions of features, by falling variance."""

    mean_D: Tensor  # fp64
    directions_KD: Tensor  # fp64, of length 1; zeros where the features vary in fewer than K directions

    def project(self, features_ND: Tensor) -> Tensor:
        """Coordinates along the directions, fp64 [N, K], on the CPU."""
        return (features_ND.detach().cpu().double() - self.mean_D) @ self.directions_KD.T


@dataclass(kw_only=True, eq=False)
class Sample:
    """A uniform sample, without replacement, of the features seen so far: all of them while they are few."""

    size: int
    keys_N: Tensor  # random; the rows with the smallest stay
    rows_ND: Tensor  # fp32
    generator: torch.Generator

    @classmethod
    def empty(cls, dim: int, *, size: int = 8192, seed: int = 0) -> Self:
        """Of no features yet; equal seeds choose the same rows."""
        generator = torch.Generator().manual_seed(seed)
        return cls(size=size, keys_N=torch.zeros(0), rows_ND=torch.zeros(0, dim), generator=generator)

    def update(self, features_ND: Tensor) -> None:
        """Take in more features."""
        rows_ND = features_ND.detach().cpu().float()
        keys_N = torch.cat([self.keys_N, torch.rand(len(rows_ND), generator=self.generator)])
        rows_ND = torch.cat([self.rows_ND, rows_ND])
        if len(keys_N) > self.size:
            kept_N = keys_N.topk(self.size, largest=False).indices
            keys_N, rows_ND = keys_N[kept_N], rows_ND[kept_N]
        self.keys_N, self.rows_ND = keys_N, rows_ND


def components(features: Tensor | Moments, k: int = 3) -> Basis:
    """The mean and the first ``k`` principal directions, in fp64.

    Each direction's largest entry is positive: the same features give the same colours on any library.

    Args:
        features: [N, D], or the moments of features that were seen in parts.
        k: how many directions; those along which nothing varies are zeros.

    Raises:
        ValueError: no features.
        DataError: some aren't finite.
    """
    if isinstance(features, Moments):
        moments = features
    else:
        moments = Moments.empty(features.shape[-1])
        moments.update(features)
    if not moments.count:
        raise ValueError("principal components of no features")
    mean_D = moments.mean_D.cpu().clone()
    values_D, vectors_DD = torch.linalg.eigh(moments.covariance().cpu())  # rising
    values_K, directions_KD = values_D.flip(0)[:k], vectors_DD.T.flip(0)[:k]
    largest_K1 = directions_KD.abs().argmax(1, keepdim=True)
    directions_KD = directions_KD * directions_KD.gather(1, largest_K1).sign()
    floor = max(NOISE * float(values_K[0]), float(CONSTANT * mean_D.abs().max()) ** 2)
    directions_KD = directions_KD * (values_K > floor)[:, None]
    missing = k - len(directions_KD)  # features of fewer than k channels
    return Basis(mean_D=mean_D, directions_KD=torch.cat([directions_KD, directions_KD.new_zeros(missing, len(mean_D))]))


def limits(features_ND: Tensor, basis: Basis) -> Tensor:
    """Per component the coordinates that become darkest and brightest, fp64 [2, K]: percentiles 1 and 99.

    Take them over the features of all images together: then a colour means the same in all of them.

    Raises:
        ValueError: no features.
    """
    if not len(features_ND):
        raise ValueError("limits of no features")
    found_2K = np.percentile(basis.project(features_ND).numpy(), PERCENTILES, axis=0)
    return torch.from_numpy(found_2K)


def colours(features_ND: Tensor, basis: Basis, limits_2K: Tensor) -> Tensor:
    """Red, green and blue from the first three components, uint8 [N, 3]; one that doesn't vary is middle grey.

    Raises:
        ValueError: a basis of fewer than three directions.
    """
    if len(basis.directions_KD) < 3:
        raise ValueError(f"a basis of {len(basis.directions_KD)} directions: colours need 3")
    low_3, high_3 = limits_2K[:, :3]
    span_3 = high_3 - low_3
    flat_3 = span_3 <= 0
    share_N3 = (basis.project(features_ND)[:, :3] - low_3) / torch.where(flat_3, 1.0, span_3)
    share_N3 = torch.where(flat_3, GREY, share_N3).clamp(0, 1)
    return (share_N3 * 255).round().to(torch.uint8)


def feature_map(
    features_ND: Tensor, grid: tuple[int, int], basis: Basis, limits_2K: Tensor, size: tuple[int, int]
) -> Image.Image:
    """An image's features as a picture: each patch a block of one colour.

    Args:
        features_ND: of the patches, row by row.
        grid: (height, width) in patches.
        size: (height, width) of the picture, in pixels.

    Raises:
        ValueError: the features don't fill the grid.
    """
    if len(features_ND) != grid[0] * grid[1]:
        raise ValueError(f"{len(features_ND)} features: a grid of {grid[0]} x {grid[1]} has {grid[0] * grid[1]}")
    small = Image.fromarray(colours(features_ND, basis, limits_2K).view(*grid, 3).numpy())
    return small.resize((size[1], size[0]), Image.Resampling.NEAREST)
