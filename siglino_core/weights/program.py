"""The encoder as a ``torch.export`` program: images in, features out, without this package.

Legend: B images, H, W their sides in pixels, N patches, R registers, C a teacher's width.
"""

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from siglino_core.models.encoder import SigLino
from siglino_core.models.layout import Layout
from siglino_core.models.patches import patchify


class ImageEncoder(nn.Module):
    """Equal images [B, channels, H, W], pixels in +-1, to features by name.

    ``patch_features.NAME`` [B, N, C], ``summary_features.NAME`` [B, C] and ``register_features.NAME`` [B, R, C], for
    each teacher and for ``siglino``.
    """

    def __init__(self, model: SigLino) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        student = self.model.spec
        count, height, width = images.shape[0], images.shape[2], images.shape[3]
        grid = height // student.patch_size, width // student.patch_size
        layout = Layout.grid(count, *grid, prefix=student.prefix, device=images.device)
        features = self.model.features(patchify(images, student.patch_size).flatten(0, 1), layout)
        out = {f"patch_features.{k}": x.unflatten(0, (count, -1)) for k, x in features.patches.items()}
        out |= {f"summary_features.{k}": x for k, x in features.summaries.items()}
        return out | {f"register_features.{k}": x for k, x in features.registers.items()}


def export_program(model: SigLino, grid: tuple[int, int] | None = None, *, largest: int = 64) -> ExportedProgram:
    """Trace the encoder.

    Args:
        model: on the device and in the precision in which the program will run.
        grid: the only (height, width), in patches, that it will take; any up to ``largest`` a side if left out.

    The number of images stays open, 1 included.
    """
    student = model.spec
    height, width = (side * student.patch_size for side in grid or (4, 6))
    images = torch.zeros(2, student.channels, height, width).to(model.cls_token)
    shape: dict[int, Dim] = {0: Dim("images", min=1, max=4096)}
    if grid is None:
        shape |= {2: student.patch_size * Dim("rows", min=2, max=largest)}
        shape |= {3: student.patch_size * Dim("columns", min=2, max=largest)}
    with torch.no_grad():
        return torch.export.export(ImageEncoder(model).eval(), (images,), dynamic_shapes=(shape,))
