"""Segmentation without training: each patch takes the labels of the most similar patches of the train split.

Source: Balažević et al. 2023, "Towards In-Context Scene Understanding" (arXiv:2306.01667), section 3: dense
nearest-neighbour retrieval.

Legend: M patches in memory, Q patches asked about, K neighbours, D width, C classes, N patches of an image; h and w
patches, H and W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.segmentation.dense import Dense, bilinear, row_parts, samples, upsample
from siglino_core.evaluation.segmentation.iou import IGNORE, Counts
from siglino_core.evaluation.segmentation.patch_labels import patch_classes
from siglino_core.hashing import key_of, uniform

NEIGHBOURS, TEMPERATURE = 30, 0.02
PATCHES = 100_000  # in memory: of width 1024 in fp32 0.4 GB
SIMILARITIES = 1 << 24  # computed at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Memory:
    """Labelled patches of the train split.

    Attributes:
        features_MD: fp32, of length 1.
        shares_MC: of each class in the patch's labelled pixels, fp32.
        seen: how many labelled patches the train split has; the memory holds a uniform sample of them.
    """

    features_MD: Tensor
    shares_MC: Tensor
    seen: int

    @classmethod
    def of(
        cls,
        train: Dense,
        *,
        num_classes: int,
        size: int = PATCHES,
        seed: int = 0,
        device: str | torch.device = "cpu",
        ignore: int = IGNORE,
    ) -> "Memory":
        """The patches of a split, all or ``size`` of them; which ones does not depend on the images' order.

        Raises:
            ConfigError: no patch is to be kept.
            DataError: no patch has a label, or features or labels cannot be used.
        """
        if size < 1:
            raise ConfigError(f"a memory of {size} patches: keep one at least")
        features: list[np.ndarray] = []
        shares: list[np.ndarray] = []
        numbers: list[np.ndarray] = []
        held = seen = 0
        for sample in samples(train):
            grid, width = sample.patches_hwD.shape[:2], sample.patches_hwD.shape[2]
            shares_NC = patch_classes(sample.mask_HW, grid, num_classes, ignore).reshape(-1, num_classes)
            key = key_of(seed, "memory of patches", sample.sample_id)
            numbers_N = uniform(key, np.arange(len(shares_NC), dtype=np.uint64))
            kept_N = shares_NC.any(1)
            features.append(sample.patches_hwD.reshape(-1, width)[kept_N])
            shares.append(shares_NC[kept_N].astype(np.float32))
            numbers.append(numbers_N[kept_N])
            held, seen = held + int(kept_N.sum()), seen + int(kept_N.sum())
            if held > 2 * size:
                features, shares, numbers = _lowest(features, shares, numbers, size)
                held = size
        if not seen:
            raise DataError("no patch of the train split has a labelled pixel, so none can lend its label")
        (features_MD,), (shares_MC,), _ = _lowest(features, shares, numbers, size)
        return cls(
            features_MD=_unit(torch.from_numpy(features_MD).to(device)),
            shares_MC=torch.from_numpy(shares_MC).to(device),
            seen=seen,
        )

    def __len__(self) -> int:
        return len(self.features_MD)


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchRetrieval:
    """Labels from a memory.

    Attributes:
        k: neighbours; as many as there are, if that is fewer.
        temperature: of the softmax over their cosine similarities, which are their weights.
    """

    memory: Memory
    k: int = NEIGHBOURS
    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        if self.k < 1 or not self.temperature > 0:
            raise ConfigError(f"k={self.k}, temperature={self.temperature}: from one neighbour, and above 0")

    def describe(self) -> dict[str, Any]:
        """As plain values, for a result's parameters."""
        size, seen = len(self.memory), self.memory.seen
        return {"k": min(self.k, size), "temperature": self.temperature, "memory": size, "train_patches": seen}

    def shares(self, x_QD: Tensor) -> Tensor:
        """The classes' shares of patches, fp32 [Q, C]: the weighted mean over their neighbours'."""
        parts = [self._part(part_QD) for part_QD in _unit(x_QD.to(self.memory.features_MD.device)).split(1024)]
        return torch.cat(parts)

    def predict(self, patches_hwD: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Class numbers uint16 [H, W] of an image: its patches' shares upsampled bilinearly, the largest taken."""
        h, w, width = patches_hwD.shape
        shares_NC = self.shares(torch.from_numpy(np.ascontiguousarray(patches_hwD)).view(h * w, width))
        down_Hh = bilinear(h, size[0]).to(shares_NC.device)
        across_Ww = bilinear(w, size[1]).to(shares_NC.device)
        found_HW = np.empty(size, np.uint16)
        for rows in row_parts(*size, shares_NC.shape[1]):
            part_RWC = upsample(shares_NC.view(h, w, -1), down_Hh[rows], across_Ww)
            found_HW[rows] = part_RWC.argmax(2).cpu().numpy().astype(np.uint16)
        return found_HW

    def measure(self, split: Dense, ignore: int = IGNORE) -> Counts:
        """A row of counts for each image; raises `DataError` for features or labels that cannot be used."""
        return Counts.joined(self._rows(split, ignore))

    def _rows(self, split: Dense, ignore: int) -> Iterator[Counts]:
        classes, width = self.memory.shares_MC.shape[1], self.memory.features_MD.shape[1]
        for sample in samples(split):
            if sample.patches_hwD.shape[2] != width:
                raise DataError(f"{sample.sample_id}: features of {sample.patches_hwD.shape[2]}, in memory of {width}")
            yield Counts.of(self.predict(sample.patches_hwD, sample.mask_HW.shape), sample.mask_HW, classes, ignore)

    def _part(self, x_QD: Tensor) -> Tensor:
        """Of the nearest of each part of the memory the nearest are kept."""
        size, k = len(self.memory), min(self.k, len(self.memory))
        step = max(k, SIMILARITIES // len(x_QD))
        best_QK = x_QD.new_empty(len(x_QD), 0)
        where_QK = torch.empty(len(x_QD), 0, dtype=torch.long, device=x_QD.device)
        for start in range(0, size, step):
            near_QM = x_QD @ self.memory.features_MD[start : start + step].T
            top_QK, at_QK = near_QM.topk(min(k, near_QM.shape[1]), dim=1)
            best_QK, where_QK = torch.cat([best_QK, top_QK], 1), torch.cat([where_QK, at_QK + start], 1)
            best_QK, at_QK = best_QK.topk(min(k, best_QK.shape[1]), dim=1)
            where_QK = where_QK.gather(1, at_QK)
        weights_QK = (best_QK / self.temperature).softmax(1)
        shares_QC = x_QD.new_zeros(len(x_QD), self.memory.shares_MC.shape[1])
        for j in range(k):  # not [Q, K, C] at once
            shares_QC += weights_QK[:, j : j + 1] * self.memory.shares_MC[where_QK[:, j]]
        return shares_QC


def _unit(x_ND: Tensor) -> Tensor:
    return F.normalize(x_ND.float(), dim=1)


def _lowest(
    features: list[np.ndarray], shares: list[np.ndarray], numbers: list[np.ndarray], size: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """The patches with the ``size`` lowest random numbers, by number."""
    numbers_M = np.concatenate(numbers)
    order_M = np.argsort(numbers_M, kind="stable")[:size]
    return [np.concatenate(features)[order_M]], [np.concatenate(shares)[order_M]], [numbers_M[order_M]]
