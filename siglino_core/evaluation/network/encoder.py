"""A network that takes squares of pixels and is evaluated, with the preprocessing of its own.

Legend: B images, H and W pixels, h and w patches, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from siglino_core.evaluation.network.plan import Described
from siglino_core.evaluation.network.viewed import Pixels, Seen
from siglino_core.networks import Embeds

BATCH = 64  # images at once


class EncoderNetwork:
    """`siglino_core.evaluation.network.viewed.Viewed` of an encoder; its one view bears its card's name.

    Summaries are of unit length. Patches lie on the network's own grid, where it has one.
    """

    def __init__(self, encoder: Embeds, plan: Described, batch: int = BATCH) -> None:
        self._encoder: Any = encoder
        self._batch = min(batch, encoder.device.batch_size)
        self.identity, self.views, self.dense = plan.identity, plan.views, plan.dense
        self.texts: Mapping[str, str] = plan.texts
        self.pixels: Pixels = plan.pixels

    def __call__(self, images: Sequence[np.ndarray], *, dense: bool = False) -> Seen:
        """As `siglino_core.evaluation.network.viewed.Viewed`."""
        name, width = next(iter(self.views.items()))
        summaries, maps = [np.empty((0, width), np.float32)], []
        for start in range(0, len(images), self._batch):
            pixels_BHW3 = np.stack(images[start : start + self._batch])
            if dense and self.dense:
                summaries_BD, maps_BhwD = self._mapped(pixels_BHW3)
                maps += list(maps_BhwD)
            else:
                summaries_BD = self._encoder.encode(pixels_BHW3)
            summaries.append(summaries_BD)
        return Seen(summaries={name: np.concatenate(summaries)}, patches={v: maps for v in self.dense if dense})

    @torch.inference_mode()
    def _mapped(self, pixels_BHW3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        encoder = self._encoder
        x_B3HW = torch.tensor(pixels_BHW3).to(encoder.device.device).permute(0, 3, 1, 2).float()
        summaries_BD, maps_BDhw = encoder.maps(encoder.normal(x_B3HW))
        unit_BD = normalize(summaries_BD.float(), dim=-1).cpu().numpy()
        return unit_BD, maps_BDhw.half().permute(0, 2, 3, 1).cpu().numpy()
