"""From a text's states to answers, points, sizes and masks; and from points and sizes back to tokens.

A head computes in its weights' precision: in training that is fp32 whatever the states' is.

Legend: S tokens, K instances, n bins, D width, N patches of all images, M channels of a mask, F Fourier features,
U mask logits on each side of a patch.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from siglino_core.models.precision import Fp32Linear


def relu2(x: Tensor) -> Tensor:
    """The square of what is above 0."""
    return F.relu(x).square()


class PairHead(nn.Module):
    """Two numbers, each as logits over bins, in fp32: [S, D] to [S, 2, n]."""

    def __init__(self, width: int, hidden: int, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.fc1 = nn.Linear(width, hidden, bias=False)
        self.fc2 = Fp32Linear(hidden, 2 * bins)

    def forward(self, x_SD: Tensor) -> Tensor:
        return self.fc2(relu2(self.fc1(x_SD.to(self.fc1.weight.dtype)))).unflatten(-1, (2, self.bins))

    def reset_parameters(self) -> None:
        """All bins begin nearly alike; hidden channels as large as the state's, or their square tells nothing."""
        nn.init.normal_(self.fc1.weight, std=self.fc1.in_features**-0.5)
        nn.init.normal_(self.fc2.weight, std=0.02)
        nn.init.zeros_(self.fc2.bias)


class Fourier(nn.Module):
    """A pair of numbers from 0 to 1 as a token: cosines and sines of learned directions, then a linear layer."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.directions = Fp32Linear(2, features // 2, bias=False)
        self.out = nn.Linear(features, width, bias=False)

    def forward(self, pair_K2: Tensor) -> Tensor:
        angle_KF = 2 * math.pi * self.directions(pair_K2)
        features_KF = torch.cat([angle_KF.cos(), angle_KF.sin()], dim=-1)
        return self.out(features_KF.to(self.out.weight.dtype))

    def reset_parameters(self) -> None:
        """Directions of several scales, from a turn over the whole image to many."""
        nn.init.normal_(self.directions.weight)
        scale_F1 = torch.logspace(0, 4, len(self.directions.weight), base=2.0)[:, None]
        with torch.no_grad():
            self.directions.weight.mul_(scale_F1.to(self.directions.weight.device))
        nn.init.normal_(self.out.weight, std=(2 / self.out.in_features) ** 0.5)  # tokens of rms 1, as words are


class MaskHead(nn.Module):
    """A query's channels, and the pixels' that it is multiplied with."""

    def __init__(self, width: int, channels: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.query = nn.Sequential(
            nn.Linear(width, width, bias=False),
            nn.SiLU(),
            nn.Linear(width, width, bias=False),
            nn.SiLU(),
            nn.Linear(width, channels, bias=False),
        )
        self.around = nn.Conv2d(width, channels, 3, padding=1)
        self.finer = nn.Conv2d(channels, channels * scale**2, 1)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)
        self.bias = nn.Parameter(torch.zeros(1))

    def pixels(self, patches_ND: Tensor, shape: tuple[int, int]) -> Tensor:
        """An image's patches, h x w of them row by row, to features [M, U h, U w]."""
        x_1Dhw = patches_ND.to(self.around.weight.dtype).T.unflatten(1, shape)[None]
        x = F.silu(self.around(x_1Dhw))
        return self.smooth(F.silu(F.pixel_shuffle(self.finer(x), self.scale)))[0]

    def forward(self, states_KD: Tensor, pixels_Mhw: Tensor) -> Tensor:
        """Logits of K masks of one image, fp32 [K, U h, U w]."""
        query_KM = self.query(states_KD.to(self.around.weight.dtype))
        logits = torch.einsum("km,mhw->khw", query_KM.float(), pixels_Mhw.float())
        return logits / math.sqrt(query_KM.shape[1]) + self.bias

    def reset_parameters(self) -> None:
        """As torch initialises them; the bias says that most pixels belong to no mask."""
        for m in self.modules():
            if isinstance(m, nn.Linear | nn.Conv2d):
                m.reset_parameters()
        nn.init.constant_(self.bias, -2.0)
