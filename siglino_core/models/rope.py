"""Golden-gate rotary positions in two dimensions: directions spread evenly over heads and frequencies, no axes.

Legend: T tokens, H heads, F frequencies of a head (a quarter of its channels), hd channels of a head.
Source: the SigLino release (arXiv 2512.20157); Xiong 2025, "On N-dimensional rotary positional embeddings".
"""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=16)
def golden_frequencies(heads: int, frequencies: int, low: float = 1.0, high: float = 20.0) -> Tensor:
    """Angular frequencies per unit of (row, column) position.

    Args:
        heads: H.
        frequencies: F, a quarter of the head's channels.
        low, high: smallest and largest magnitude, in radians per unit.

    Returns:
        fp32 [H, F, 2] on the CPU; shared, not to be changed in place.
    """
    with torch.device("cpu"):  # also while a model is laid out on the meta device
        g = 2.0
        for _ in range(10):  # the real root of x^3 = x + 1: the plastic number, the golden ratio's sibling in 2-D
            g = (1 + g) ** (1 / 3)
        i = torch.arange(1, heads * frequencies + 1, dtype=torch.float64)
        z_N2 = torch.stack([i / g, i / g**2], dim=-1) % 1.0
        direction_N2 = torch.special.erfinv(2 * z_N2 - 1)
        direction_N2 = direction_N2 / direction_N2.norm(dim=-1, keepdim=True)
        exponent_F = torch.arange(frequencies, dtype=torch.float64) / max(frequencies - 1, 1)
        magnitude_F = low * (high / low) ** exponent_F
        return (direction_N2.view(heads, frequencies, 2) * magnitude_F[None, :, None]).float()


def grid_positions(row_N: Tensor, column_N: Tensor, height_N: Tensor, width_N: Tensor) -> Tensor:
    """Where patches lie in their image, aspect kept: rows in +-sqrt(height/width), columns in +-sqrt(width/height).

    Ends included; a side of one patch sits at minus its limit. All arguments are integer [N], in patches.

    Returns:
        fp32 [N, 2], (row, column).
    """
    h, w = height_N.double(), width_N.double()
    return torch.stack([_spread(row_N, h, (h / w).sqrt()), _spread(column_N, w, (w / h).sqrt())], dim=-1).float()


def _spread(index_N: Tensor, count_N: Tensor, limit_N: Tensor) -> Tensor:
    return limit_N * (2 * index_N.double() / (count_N - 1).clamp(min=1) - 1)


def rotation(positions_T2: Tensor, frequencies_HF2: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of each token's angles, fp32 [T, H, F] each; a position of zero turns nothing."""
    angle_THF = torch.einsum("tp,hfp->thf", positions_T2.float(), frequencies_HF2.float())
    return angle_THF.cos(), angle_THF.sin()


def rotate(x_THD: Tensor, rotation_THF: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the second half of each head's channels, in adjacent pairs; the first half belongs to time, 0 in images.

    Computed in fp32 at least, returned in the input's precision.
    """
    cos, sin = rotation_THF
    still, turning = x_THD.chunk(2, dim=-1)
    a, b = turning.to(torch.promote_types(x_THD.dtype, torch.float32)).unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)
    return torch.cat([still, turned.to(x_THD.dtype)], dim=-1)
