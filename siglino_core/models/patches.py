"""Pixels to patches and back: each is a row of numbers in the order (row in patch, column in patch, channel)."""

import torch
from torch import Tensor


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """[B, C, H, W] to [B, N, patch_size^2 * C], patches row by row.

    Raises:
        ValueError: not four dimensions, or sides that are no multiples of the patch.
    """
    if images.ndim != 4 or images.shape[2] % patch_size or images.shape[3] % patch_size:
        raise ValueError(f"images of {tuple(images.shape)}: [B, C, H, W], sides in multiples of {patch_size}")
    x = images.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))  # B C h p w q
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, shape: tuple[int, int], patch_size: int) -> Tensor:
    """[B, N, patch_size^2 * C], N = h * w patches row by row, to [B, C, H, W]; channels lie last in memory.

    Args:
        shape: (h, w), the images' height and width in patches.

    Raises:
        ValueError: not three dimensions, or other than h * w patches of whole channels.
    """
    h, w = shape
    if patches.ndim != 3 or patches.shape[1] != h * w or patches.shape[2] % patch_size**2:
        raise ValueError(f"patches of {tuple(patches.shape)}: [B, {h} * {w}, {patch_size}^2 * C]")
    x = patches.unflatten(2, (patch_size, patch_size, -1)).unflatten(1, (h, w))  # B h w p q C
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def pad(patches: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Images' patches [N_i, V] to [B, N, V], zeros behind, and a mask [B, N] that is True where a patch is real."""
    padded = torch.nn.utils.rnn.pad_sequence(patches, batch_first=True)
    counts = torch.tensor([len(p) for p in patches], device=padded.device)
    return padded, torch.arange(padded.shape[1], device=padded.device) < counts[:, None]
