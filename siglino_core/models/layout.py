"""Where each image's tokens lie in a pack: CLS, registers, patches row by row; image after image; padding.

Legend: B images, P tokens of an image before its patches, N patches of all images, T tokens of the pack.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .rope import grid_positions
from .segments import Segments


@dataclass(frozen=True, eq=False)
class Layout:
    """A pack's geometry: made once a batch, the same for every layer.

    Attributes:
        segments: which tokens see one another.
        prefix_BP: rows of CLS and the registers in the pack.
        patch_N: rows of the patches in the pack.
        positions_T2: (row, column) of each token; 0 for CLS, registers and padding, which do not turn.
    """

    segments: Segments
    prefix_BP: Tensor
    patch_N: Tensor
    positions_T2: Tensor

    @classmethod
    def of(
        cls,
        shapes: Sequence[tuple[int, int]],
        *,
        prefix: int,
        total: int | None = None,
        device: torch.device | str | None = None,
    ) -> "Layout":
        """The layout of images of these (height, width), in patches, in a pack of ``total`` tokens.

        Raises:
            ValueError: a side under one patch, or more tokens than the pack holds.
        """
        if bad := [s for s in shapes if min(s) < 1]:
            raise ValueError(f"an image of {bad[0][0]} x {bad[0][1]} patches")
        segments = Segments.of([prefix + h * w for h, w in shapes], total, device)
        # Geometry is small: it is reckoned on the CPU and copied once, since a device would start a kernel a line.
        shapes_B2 = torch.tensor(list(shapes), dtype=torch.int64).view(-1, 2)
        patches_B = shapes_B2.prod(1)
        image_N = torch.repeat_interleave(patches_B)
        within_N = torch.arange(len(image_N)) - (patches_B.cumsum(0) - patches_B)[image_N]
        height_N, width_N = shapes_B2[image_N].unbind(1)
        start_B = torch.tensor(segments.lengths, dtype=torch.int64).cumsum(0) - patches_B - prefix
        patch_N = start_B[image_N] + prefix + within_N
        positions_T2 = torch.zeros(segments.total, 2)
        positions_T2[patch_N] = grid_positions(within_N // width_N, within_N % width_N, height_N, width_N)
        return cls(
            segments=segments,
            prefix_BP=(start_B[:, None] + torch.arange(prefix)).to(device),
            patch_N=patch_N.to(device),
            positions_T2=positions_T2.to(device),
        )

    @classmethod
    def grid(
        cls, images: int, height: int, width: int, *, prefix: int, device: torch.device | str | None = None
    ) -> "Layout":
        """The layout of equal images, from arithmetic alone: ``torch.export`` traces it with sizes left open."""
        n = height * width
        row_N = torch.arange(height, device=device)[:, None].expand(height, width).flatten()
        column_N = torch.arange(width, device=device).expand(height, width).flatten()
        one_N = torch.ones_like(row_N)
        positions_N2 = grid_positions(row_N, column_N, one_N * height, one_N * width)
        start_B1 = torch.arange(images, device=device)[:, None] * (prefix + n)
        return cls(
            segments=Segments.uniform(images, prefix + n, device),
            prefix_BP=start_B1 + torch.arange(prefix, device=device),
            patch_N=(start_B1 + prefix + torch.arange(n, device=device)).flatten(),
            positions_T2=torch.cat([positions_N2.new_zeros(prefix, 2), positions_N2]).repeat(images, 1),
        )

    def parted(self, x_TC: Tensor) -> tuple[Tensor, Tensor]:
        """The pack's tokens as CLS and registers, [B, P, C], and the patches of all images, [N, C]."""
        if self.segments.traced:
            prefix = self.prefix_BP.shape[1]
            prefix_BPC, patches_BNC = x_TC.unflatten(0, self.segments.grid).tensor_split([prefix], dim=1)
            return prefix_BPC, patches_BNC.flatten(0, 1)
        return x_TC[self.prefix_BP], x_TC[self.patch_N]

    @property
    def patches(self) -> list[int]:
        """Patches of each image, in order."""
        return [n - self.prefix_BP.shape[1] for n in self.segments.lengths]
