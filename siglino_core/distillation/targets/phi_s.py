"""PHI-S: one rotation and one scale that give all channels of a teacher's features the same variance.

Source: Ranzinger et al. 2024, "PHI-S: Distribution Balancing for Label-Free Multi-Teacher Distillation"
(arXiv 2410.01680). Teachers differ by orders of magnitude in scale; standardised, they weigh the same in a loss, and
since a rotation keeps distances, their errors keep their meaning.

N features, D channels.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor

from siglino_core.distillation.targets.hadamard import hadamard
from siglino_core.errors import DataError

ROWS = 4096  # taken at once into fp64


@dataclass(kw_only=True, eq=False)
class Moments:
    """Count, mean and scatter of features seen so far, in fp64: parts of a data set merge into those of the whole.

    Source: Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """

    name: str  # what they are of, for messages
    count: int
    mean_D: Tensor
    scatter_DD: Tensor  # sum of (x - mean)(x - mean)^T

    @classmethod
    def empty(cls, dim: int, *, name: str = "features", device: str | torch.device = "cpu") -> Self:
        """Of no features yet; they will be summed up on ``device``."""
        mean_D = torch.zeros(dim, dtype=torch.float64, device=device)
        return cls(name=name, count=0, mean_D=mean_D, scatter_DD=mean_D.new_zeros(dim, dim))

    def update(self, x_ND: Tensor) -> None:
        """Take in more features; none of them if it raises.

        Raises:
            DataError: their width is another, or some aren't finite.
        """
        if x_ND.ndim != 2 or x_ND.shape[1] != len(self.mean_D):
            raise DataError(
                f"{self.name}: shape {list(x_ND.shape)} where [N, {len(self.mean_D)}] was expected. "
                "Are they all of one teacher and one token type?"
            )
        chunks = x_ND.detach().split(ROWS)
        bad = sum(int((~chunk.isfinite().all(1)).sum()) for chunk in chunks)
        if bad:
            raise DataError(
                f"{self.name}: {bad:,} of {len(x_ND):,} rows hold NaN or infinity. Leave those images out; if it is "
                "all of them, run the teacher in fp32 (targets.precision=fp32)."
            )
        for chunk in chunks:
            x = chunk.to(self.mean_D.device).double()
            mean_D = x.mean(0)
            x = x - mean_D
            self._add(len(x), mean_D, x.T @ x)

    def merge(self, other: Self) -> None:
        """Take in what another has seen."""
        assert len(other.mean_D) == len(self.mean_D)
        self._add(other.count, other.mean_D.to(self.mean_D.device), other.scatter_DD.to(self.mean_D.device))

    def covariance(self) -> Tensor:
        """fp64 [D, D], over N and not N - 1: it describes these features, it doesn't estimate."""
        return self.scatter_DD / self.count

    def _add(self, count: int, mean_D: Tensor, scatter_DD: Tensor) -> None:
        if not count:
            return
        share = count / (self.count + count)
        gap_D = mean_D - self.mean_D
        self.scatter_DD += scatter_DD
        self.scatter_DD.addr_(gap_D, gap_D, alpha=self.count * share)
        self.mean_D += gap_D * share
        self.count += count


@dataclass(frozen=True, kw_only=True, eq=False)
class PhiS:
    """The standardisation of one teacher's tokens of one type: y = T (x - mean), T = rotation / phi.

    With the covariance U diag(l) U^T, the rotation is H U^T, H a normalised Hadamard matrix, and phi^2 is the mean of
    l. All entries of H being of one magnitude, every channel of y gets the same share of every l: variance 1.

    A squared error summed over channels is the raw one over phi^2, since the rotation keeps distances: losses need no
    more than ``phi`` (`siglino_core.distillation.training.losses`).
    """

    mean: Tensor  # fp64 [D]
    rotation: Tensor  # fp64 [D, D], orthogonal
    phi: float
    kind: Literal["hadamard", "random"]  # random: no Hadamard matrix of this width; variances are 1 in the mean alone
    variance: Tensor | None = (
        None  # fp64 [D], of each channel as the teacher has it; None: an earlier version fitted it
    )

    @classmethod
    def fit(cls, features: Tensor | Iterable[Tensor] | Moments, *, name: str = "features", seed: int = 0) -> Self:
        """From features [N, D], parts [n, D] of them, or their moments.

        Args:
            name: what they are of, for messages ("dinov3 patches"); moments have their own.
            seed: of the random rotation, for widths without a Hadamard matrix.

        Raises:
            DataError: fewer than two features, features that don't vary or aren't finite, or parts of several widths.
        """
        parts = [features] if isinstance(features, Tensor) else features
        moments = parts if isinstance(parts, Moments) else _moments(parts, name)
        dim, mean_D = len(moments.mean_D), moments.mean_D
        if moments.count < 2:
            raise DataError(f"{moments.name}: {moments.count} rows, and a variance needs two. Sample more images.")
        covariance_DD = moments.covariance()
        phi = math.sqrt(float(covariance_DD.trace()) / dim)
        if phi <= 1e-12 * float(mean_D.abs().max()):  # what rounding leaves of a constant
            raise DataError(
                f"{moments.name}: all {moments.count:,} rows are the same, so that there is no scale to divide by. "
                "Check the teacher's weights, and that the images differ."
            )
        eigenvectors_DD = torch.linalg.eigh(covariance_DD).eigenvectors
        largest_D = eigenvectors_DD.abs().argmax(0, keepdim=True)
        eigenvectors_DD = eigenvectors_DD * eigenvectors_DD.gather(0, largest_D).sign()  # else up to the library
        matrix_DD = hadamard(dim)
        kind = "random" if matrix_DD is None else "hadamard"
        if matrix_DD is None:
            matrix_DD = _random_rotation(dim, seed)
        rotation_DD = matrix_DD.to(mean_D.device) @ eigenvectors_DD.T
        variance_D = covariance_DD.diagonal().cpu().clone()
        return cls(mean=mean_D.cpu().clone(), rotation=rotation_DD.cpu(), phi=phi, kind=kind, variance=variance_D)

    def apply(self, x: Tensor) -> Tensor:
        """Features [..., D] standardised; on their device, in fp32 or, if they are, in fp64."""
        x, mean, rotation = self._beside(x)
        with torch.autocast(x.device.type, enabled=False):
            return (x - mean) @ rotation.T / self.phi

    def invert(self, y: Tensor) -> Tensor:
        """Standardised features [..., D] back in the teacher's own space; precision as in :meth:`apply`."""
        y, mean, rotation = self._beside(y)
        with torch.autocast(y.device.type, enabled=False):
            return self.phi * (y @ rotation) + mean

    def tensors(self) -> dict[str, Tensor]:
        """Everything, as tensors to save."""
        fitted = {
            "mean": self.mean,
            "rotation": self.rotation,
            "phi": torch.tensor(self.phi, dtype=torch.float64),
            "hadamard": torch.tensor(self.kind == "hadamard"),
        }
        return fitted if self.variance is None else {**fitted, "variance": self.variance}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """What :meth:`tensors` gave."""
        return cls(
            mean=tensors["mean"],
            rotation=tensors["rotation"],
            phi=float(tensors["phi"]),
            kind="hadamard" if tensors["hadamard"] else "random",
            variance=tensors.get("variance"),
        )

    def _beside(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dtype = torch.promote_types(x.dtype, torch.float32)
        # In this order: Apple's devices know no fp64.
        return x.to(dtype), self.mean.to(dtype).to(x.device), self.rotation.to(dtype).to(x.device)


def _moments(parts: Iterable[Tensor], name: str) -> Moments:
    moments = None
    for part in parts:
        if moments is None:
            moments = Moments.empty(part.shape[-1], name=name, device=part.device if part.is_cuda else "cpu")
        moments.update(part)
    return moments or Moments.empty(1, name=name)


def _random_rotation(dim: int, seed: int) -> Tensor:
    """Orthogonal, fp64 [dim, dim], uniform among all: QR of Gaussian numbers, its signs fixed."""
    gaussian = torch.randn(dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal().sign()
