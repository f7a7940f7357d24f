"""A teacher that embeds: square images as packs of patches, their summaries as features.

Legend: B images, H and W pixels, C width.
"""

import numpy as np
import torch
from torch.nn.functional import normalize

from siglino_core.device import Device
from siglino_core.models.patches import patchify
from siglino_core.teachers.teacher import Teacher


class TeacherEncoder:
    """What `siglino_core.encoders.encoder.Encoder` is to a pool: uint8 pixels in, unit-length features out."""

    def __init__(self, teacher: Teacher, device: Device) -> None:
        self.card, self.device, self._teacher = teacher.card, device, teacher

    @torch.inference_mode()
    def encode(self, pixels_BHW3: np.ndarray) -> np.ndarray:
        """Unit-length features, fp32 [B, C]; a row that isn't finite stays so, for the caller to reject."""
        x_B3HW = torch.tensor(pixels_BHW3).to(self.device.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        side = x_B3HW.shape[-1] // self.card.patch_size
        patches_NV = patchify(x_B3HW, self.card.patch_size).flatten(0, 1)
        summaries_BC = self._teacher(patches_NV, [(side, side)] * len(x_B3HW)).summaries
        return normalize(summaries_BC.float(), dim=-1).cpu().numpy()
