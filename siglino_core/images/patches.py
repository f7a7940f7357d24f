"""From an encoded image to the patches that student and teachers see.

Legend: N patches, V values of a patch (row, column, channel).
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from siglino_core.images.decode import decode

MAX_PIXELS, MAX_BYTES = 1 << 28, 1 << 28  # curation had narrower bounds: these stop what was tampered with


def to_patches(data: bytes, grid: tuple[int, int], patch_size: int = 16, *, flip: bool = False) -> Tensor:
    """The image scaled (bicubic) to a grid of patches: uint8 [N, V], a quarter of the floats' bytes between processes.

    They are the pixels that the exported image processor makes of the same file. So a JPEG is decoded whole: whoever
    gives the processor a loaded image has no smaller one to give.

    Args:
        data: as it lies in a training shard.
        grid: (height, width) in patches.
        flip: mirror it left to right.

    Raises:
        BadImage: it cannot be decoded.
    """
    height, width = grid[0] * patch_size, grid[1] * patch_size
    image = decode(data, max_pixels=MAX_PIXELS, max_bytes=MAX_BYTES)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    pixels_HW3 = np.asarray(image)[:, ::-1] if flip else np.asarray(image)
    patches = pixels_HW3.reshape(grid[0], patch_size, grid[1], patch_size, 3).swapaxes(1, 2)
    return torch.from_numpy(np.ascontiguousarray(patches).reshape(grid[0] * grid[1], -1))


def to_floats(patches_NV: Tensor) -> Tensor:
    """uint8 [N, V] to fp32 in +-1, as `siglino_core.models.processor` scales them."""
    return patches_NV.float().div_(127.5).sub_(1)
