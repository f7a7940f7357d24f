"""A pack of patches as batches of pixels, for networks that take pixels: images of one shape go together.

Legend: N patches of all images, V values of a patch, B images of one shape, H and W pixels.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from siglino_core.models.patches import unpatchify


def batches(
    patches_NV: Tensor, shapes: Sequence[tuple[int, int]], patch_size: int
) -> Iterator[tuple[list[int], Tensor]]:
    """Each distinct shape's images: their places in the pack, and their pixels [B, 3, H, W].

    Args:
        patches_NV: the images' patches one after the other, a patch's values in the order (row, column, channel).
        shapes: each image's (height, width) in patches.

    Raises:
        ValueError: there are more or fewer patches than the shapes have, or a patch is not 3 channels of pixels.
    """
    counts = [h * w for h, w in shapes]
    if patches_NV.shape != (sum(counts), 3 * patch_size**2):
        raise ValueError(f"patches of {tuple(patches_NV.shape)}: [{sum(counts)}, {3 * patch_size**2}] by the shapes")
    images = patches_NV.split(counts)
    for shape in dict.fromkeys(shapes):
        places = [i for i, s in enumerate(shapes) if s == shape]
        yield places, unpatchify(torch.stack([images[i] for i in places]), shape, patch_size)
