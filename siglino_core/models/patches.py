"""Pixels to patches: each is a row of numbers in the order (row in patch, column in patch, channel)."""

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


def pad(patches: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Images' patches [N_i, V] to [B, N, V], zeros behind, and a mask [B, N] that is True where a patch is real."""
    padded = torch.nn.utils.rnn.pad_sequence(patches, batch_first=True)
    counts = torch.tensor([len(p) for p in patches], device=padded.device)
    return padded, torch.arange(padded.shape[1], device=padded.device) < counts[:, None]
