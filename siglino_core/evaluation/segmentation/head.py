"""Linear heads on patches: dropout, batch norm, 1x1 convolution; several at once, for they differ in their rates alone.

Legend: B images, N patches of all of them, D width, L heads, C classes, K = L * C; h and w patches, H and W pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from siglino_core.evaluation.segmentation.dense import bilinear, row_parts, upsample

STD = 0.01  # of the first weights


class Heads(nn.Module):
    """Heads that see the same images, with the same channels dropped.

    What batch norm measures of the features is the same for all; its scale and shift, and the convolution, are each
    head's own. All begin with the same weights.

    Args:
        generator: of the first weights.
        dropout: share of an image's channels that a training step sets to 0.

    Source: the linear head of DINOv2 and DINOv3 (Oquab et al. 2023; Siméoni et al. 2025).
    """

    def __init__(
        self, width: int, classes: int, heads: int, *, generator: torch.Generator, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.classes, self.dropout = classes, dropout
        self.norm = nn.BatchNorm1d(width, affine=False)
        weight_CD = torch.empty(classes, width).normal_(0, STD, generator=generator)
        self.scales = nn.ParameterList(torch.ones(width) for _ in range(heads))
        self.shifts = nn.ParameterList(torch.zeros(width) for _ in range(heads))
        self.weights = nn.ParameterList(weight_CD.clone() for _ in range(heads))
        self.biases = nn.ParameterList(torch.zeros(classes) for _ in range(heads))

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def device(self) -> torch.device:
        return self.weights[0].device

    def of(self, head: int) -> list[nn.Parameter]:
        """A head's own parameters."""
        return [self.scales[head], self.shifts[head], self.weights[head], self.biases[head]]

    def forward(self, x_ND: Tensor) -> Tensor:
        """Logits [N, L * C] of patches."""
        x_ND = self.norm(x_ND)
        weights_KD = torch.cat([w_CD * s for w_CD, s in zip(self.weights, self.scales, strict=True)])
        shifted = [w_CD @ s + b for w_CD, s, b in zip(self.weights, self.shifts, self.biases, strict=True)]
        return F.linear(x_ND, weights_KD, torch.cat(shifted))

    def drop(self, x_ND: Tensor, counts_B: Sequence[int], generator: torch.Generator) -> Tensor:
        """Patches with whole channels of an image set to 0, the others enlarged to make up for it.

        Args:
            counts_B: patches of each image.
            generator: on the CPU, so that a device does not change what is dropped.
        """
        kept_BD = torch.rand(len(counts_B), x_ND.shape[1], generator=generator) >= self.dropout
        factor_BD = (kept_BD.float() / (1 - self.dropout)).to(x_ND.device)
        return x_ND * factor_BD.repeat_interleave(torch.tensor(counts_B, device=x_ND.device), 0)

    @torch.no_grad()
    def predict(self, patches_hwD: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Class numbers uint16 [L, H, W]: each head's logits upsampled to ``size``, and the largest taken."""
        self.eval()
        h, w, width = patches_hwD.shape
        x_ND = torch.from_numpy(np.ascontiguousarray(patches_hwD)).to(self.device).float().view(h * w, width)
        logits_hwK = self(x_ND).view(h, w, -1)
        down_Hh, across_Ww = bilinear(h, size[0]).to(self.device), bilinear(w, size[1]).to(self.device)
        found_LHW = np.empty((len(self), *size), np.uint16)
        for rows in row_parts(*size, logits_hwK.shape[2]):
            part_RWK = upsample(logits_hwK, down_Hh[rows], across_Ww)
            classes_RWL = part_RWK.unflatten(2, (len(self), self.classes)).argmax(3)
            found_LHW[:, rows] = classes_RWL.permute(2, 0, 1).cpu().numpy().astype(np.uint16)
        return found_LHW
