"""TensorFlow's 'same' padding at stride 2 without a padded copy of the input: in fp32 on a CPU, bit for bit.

At an even size it adds one row and column more behind than in front, which torch's convolutions cannot; timm copies
the input into a larger one for it. Here the kernel has a row and a column of zeros in front instead, and the padding is
equal on both sides: what is added to a sum are zeros.
"""

from typing import TypeGuard

import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn


def fold_padding(module: nn.Module) -> None:
    """Replace every stride-2 convolution with 'same' padding inside ``module``."""
    for name, child in list(module.named_children()):
        if _folds(child):
            setattr(module, name, FoldedSame(child))
        else:
            fold_padding(child)


class FoldedSame(nn.Module):
    """The convolution, by its widened kernel where that gives the same bits: in fp32 on a CPU, at even sizes."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv: nn.Conv2d = conv
        self.wide = nn.Parameter(F.pad(conv.weight.data, (1, 0, 1, 0)), requires_grad=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] to [B, D, ceil(H / 2), ceil(W / 2)]."""
        conv, (height, width) = self.conv, x_BCHW.shape[-2:]
        if height % 2 or width % 2 or x_BCHW.device.type != "cpu" or x_BCHW.dtype != torch.float32:
            return conv(x_BCHW)
        padding = self.wide.shape[-1] // 2 - 1
        return torch.conv2d(x_BCHW, self.wide, conv.bias, 2, padding, 1, conv.groups)


def _folds(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    if not isinstance(module, nn.Conv2d) or not isinstance(module, Conv2dSame):
        return False
    height, width = module.kernel_size
    return height == width > 1 and height % 2 == 1 and module.stride == (2, 2) and module.dilation == (1, 1)
