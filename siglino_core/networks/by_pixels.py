"""A teacher that is an encoder: each image as pixels, at the student's size or squeezed to the encoder's own.

Legend: N patches of all images, V values of a patch, B images of one shape, C width, H and W pixels, h and w patches.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from siglino_core.encoders.encoder import Encoder
from siglino_core.teachers.by_shape import batches
from siglino_core.teachers.teacher import Targets

BATCH = 64  # images at once, whatever a pack holds


class PixelTeacher:
    """Pooled features as summaries; patches where the encoder has a map, resized to the student's grid if need be."""

    def __init__(self, encoder: Encoder) -> None:
        self.card, self._encoder = encoder.card, encoder

    @torch.no_grad()
    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        summaries: dict[int, Tensor] = {}
        dense: dict[int, Tensor] = {}
        patches_NV = patches_NV.to(self._encoder.device.device).float()
        for places, pixels_B3HW in batches(patches_NV, shapes, self.card.patch_size):
            for start in range(0, len(places), BATCH):
                some = places[start : start + BATCH]
                summaries_BC, map_BChw = self._told(pixels_B3HW[start : start + BATCH], shapes[some[0]])
                summaries |= zip(some, summaries_BC, strict=True)
                if map_BChw is not None:
                    dense |= zip(some, map_BChw.flatten(2).mT, strict=True)
        order = range(len(shapes))
        patches_NC = torch.cat([dense[i] for i in order]) if self.card.patches else None
        return Targets(torch.stack([summaries[i] for i in order]), patches_NC)

    def _told(self, pixels_B3HW: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Summaries [B, C], and the map [B, C, h, w] of the student's grid."""
        if not self.card.native:
            side = self.card.pixels.size
            pixels_B3HW = interpolate(pixels_B3HW, (side, side), mode="bilinear", antialias=True)
        x_B3HW = self._encoder.normal((pixels_B3HW + 1) * 127.5)
        if self._encoder.maps is None:
            return self._encoder.features(x_B3HW), None
        summaries_BC, map_BChw = self._encoder.maps(x_B3HW)
        if map_BChw.shape[2:] != shape:
            map_BChw = interpolate(map_BChw.float(), shape, mode="bilinear", antialias=True).to(map_BChw.dtype)
        return summaries_BC, map_BChw
