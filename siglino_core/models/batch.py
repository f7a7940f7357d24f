"""Between a batch as transformers has it and a pack.

Legend: B images, P tokens of an image before its patches, N patches of all images, L patches of the largest, V values
of a patch, D channels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .encoder import SigLino
from .layout import Layout
from .patches import patchify

LARGEST = 16.0  # of pixels: what is in +-1, or normalised in another way, is far below; 0 to 255 is above


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch's images as a pack, and the way back.

    Attributes:
        patches_NV: those of image 0, then those of image 1, and so on.
        shapes_B2: int64, each image's (height, width) in patches.
        mask_BL: where there is a patch; None: all images have one size.
        grid: the only (height, width), if it is known without looking at data.
    """

    patches_NV: Tensor
    layout: Layout
    shapes_B2: Tensor
    mask_BL: Tensor | None
    grid: tuple[int, int] | None

    def padded(self, x_ND: Tensor) -> Tensor:
        """[N, D] to [B, L, D], zero where there is no patch."""
        if self.mask_BL is None:
            return x_ND.unflatten(0, (self.shapes_B2.shape[0], -1))
        out = x_ND.new_zeros(*self.mask_BL.shape, x_ND.shape[-1])
        return out.masked_scatter(self.mask_BL[..., None], x_ND)

    def tokens(self, x_TD: Tensor) -> Tensor:
        """[T, D] to [B, P + L, D]."""
        prefix_BPD, patches_ND = self.layout.parted(x_TD)
        return torch.cat([prefix_BPD, self.padded(patches_ND)], dim=1)

    def one_grid(self) -> tuple[int, int]:
        """The (height, width) that all images have.

        Raises:
            ValueError: they differ.
        """
        if self.grid is not None:
            return self.grid
        grids = sorted({(h, w) for h, w in self.shapes_B2.tolist()})
        if len(grids) != 1:
            raise ValueError(
                f"images of {len(grids)} sizes, in patches {grids[:3]}, have no common map. Give images of one size "
                "(the processor's `size=`), or take the format NLC."
            )
        return grids[0]


def batch_of(model: SigLino, pixels: Tensor, padding_mask: Tensor | None, spatial_shapes: Tensor | None) -> Batch:
    """A batch of images [B, channels, height, width] or of padded patches [B, L, V], in +-1.

    Raises:
        ValueError: shapes that contradict one another.
    """
    spec = model.spec
    _require_pixels(pixels, spec.channels, spec.patch_values)
    if pixels.ndim == 4:
        images, h, w = pixels.shape[0], pixels.shape[2] // spec.patch_size, pixels.shape[3] // spec.patch_size
        _require_whole(images, (h, w), padding_mask, spatial_shapes)
        patches_NV = patchify(pixels, spec.patch_size).flatten(0, 1)
        layout = Layout.grid(images, h, w, prefix=spec.prefix, device=pixels.device)
        one_B = torch.ones(images, dtype=torch.int64, device=pixels.device)
        return Batch(patches_NV, layout, torch.stack([one_B * h, one_B * w], dim=1), None, (h, w))
    if spatial_shapes is None:
        raise ValueError("patches need their spatial_shapes: each image's (height, width) in patches")
    spatial_shapes = torch.as_tensor(spatial_shapes, device=pixels.device)
    if spatial_shapes.ndim != 2 or spatial_shapes.shape[1] != 2 or spatial_shapes.is_floating_point():
        raise ValueError(f"spatial_shapes of {list(spatial_shapes.shape)}: whole numbers [B, 2], (height, width) each")
    shapes = [(h, w) for h, w in spatial_shapes.tolist()]
    mask_BL = _valid(pixels, padding_mask, shapes)
    patches_NV = pixels[mask_BL]
    layout = model.layout(shapes)
    model.require_fits(patches_NV, layout)
    return Batch(patches_NV, layout, spatial_shapes, mask_BL, None)


def _require_pixels(pixels: Tensor, channels: int, patch_values: int) -> None:
    """Refuse what are no pixels in +-1: they would be taken for other pictures, and nothing would say so."""
    wanted = f"real numbers in +-1, images [B, {channels}, height, width] or patches, as the processor gives them"
    if not isinstance(pixels, Tensor):
        raise ValueError(f"pixel_values: a tensor is wanted, not {type(pixels).__name__} (return_tensors='pt')")
    shape = list(pixels.shape)
    if not pixels.is_floating_point():
        raise ValueError(f"pixel_values of {str(pixels.dtype).removeprefix('torch.')}: {wanted}")
    if pixels.ndim == 3 and shape[0] == channels and shape[2] != patch_values:
        raise ValueError(f"pixel_values of {shape}: one image wants a batch of one, pixel_values[None]")
    if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and shape[1] != channels):
        raise ValueError(f"pixel_values of {shape}: {wanted}")
    if 0 in shape:
        raise ValueError(f"pixel_values of {shape}: no images, or images without pixels")
    if torch.compiler.is_compiling() or pixels.device.type != "cpu":  # elsewhere looking would make the host wait
        return
    if (largest := float(pixels.detach().abs().max())) > LARGEST:
        raise ValueError(f"pixel_values up to {largest:.4g}: {wanted}")


def _require_whole(images: int, grid: tuple[int, int], padding_mask: Any, spatial_shapes: Any) -> None:
    """Images of one size have no padding, and their shapes are known."""
    if padding_mask is not None and not torch.as_tensor(padding_mask).bool().all():
        raise ValueError("padding_mask: images [B, channels, height, width] have no padding; give patches instead")
    if spatial_shapes is not None and torch.as_tensor(spatial_shapes).tolist() != [list(grid)] * images:
        raise ValueError(f"spatial_shapes: these images are of {grid[0]} x {grid[1]} patches each")


def _valid(pixels_BLV: Tensor, padding_mask: Tensor | None, shapes: list[tuple[int, int]]) -> Tensor:
    images, longest = pixels_BLV.shape[:2]
    counts_B = torch.tensor([h * w for h, w in shapes], device=pixels_BLV.device)
    mask_BL = torch.arange(longest, device=pixels_BLV.device) < counts_B[:, None]
    if len(shapes) != images or int(counts_B.max()) > longest:
        raise ValueError(f"spatial_shapes={shapes}: pixel_values hold {images} images of up to {longest} patches")
    if padding_mask is not None and not torch.equal(
        torch.as_tensor(padding_mask, device=mask_BL.device).bool(), mask_BL
    ):
        raise ValueError("padding_mask: each image's patches come first, as many as its spatial shape has")
    return mask_BL
