"""The encoder as a ``torch.export`` program: images in, features out, without this package.

Legend: B images, H, W their sides in pixels, N patches, R registers, C a teacher's width.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from siglino_core.errors import DataError
from siglino_core.models.encoder import SigLino
from siglino_core.models.layout import Layout
from siglino_core.models.patches import patchify

LARGEST = 64  # patches a side of a program for any grid
MOST_IMAGES = 4096
ABOUT = "siglino.json"  # beside the program, in its file


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


def export_program(model: SigLino, grid: tuple[int, int] | None = None, *, largest: int = LARGEST) -> ExportedProgram:
    """Trace the encoder.

    Args:
        model: on the device and in the precision in which the program will run.
        grid: the only (height, width), in patches, that it will take; any up to ``largest`` a side if left out.

    The number of images stays open, 1 included. Mixtures cost experts / top_k times as much as in the
    model: every token goes through every expert.
    """
    images, shape = example(model, grid, largest)
    with torch.no_grad():
        return torch.export.export(ImageEncoder(model).eval(), (images,), dynamic_shapes=(shape,))


def save_program(model: SigLino, path: Path, grid: tuple[int, int] | None = None) -> None:
    """Trace the encoder into a ``.pt2`` file, with what it takes: `load_program` reads both."""
    student = model.spec
    about = {
        "channels": student.channels,
        "patch_size": student.patch_size,
        "grid": grid,
        "rows_and_columns": [2, LARGEST],
        "images": [1, MOST_IMAGES],
    }
    torch.export.save(export_program(model, grid), path, extra_files={ABOUT: json.dumps(about)})


def load_program(path: str | Path) -> Callable[[Tensor], dict[str, Tensor]]:
    """A program from its ``.pt2`` file. What it does not take is refused in words, where torch would name a guard.

    Raises:
        DataError: the file is no program of a student's.
    """
    extra = {ABOUT: ""}
    try:
        program = torch.export.load(path, extra_files=extra).module()
        about = json.loads(extra[ABOUT])
    except Exception as e:  # zip's, torch's and JSON's own
        raise DataError(
            f"{path}: no program of a student's ({type(e).__name__}: {' '.join(str(e).split())[:200]})"
        ) from e

    def run(images: Tensor) -> dict[str, Tensor]:
        _require_fits(images, about)
        return program(images)

    return run


def _require_fits(images: Tensor, about: dict) -> None:  # type: ignore[type-arg]
    p, channels = about["patch_size"], about["channels"]
    low, high = about["rows_and_columns"]
    shape = list(images.shape)
    if len(shape) != 4 or shape[1] != channels or shape[2] % p or shape[3] % p:
        raise ValueError(f"images of {shape}: [images, {channels}, height, width], sides in multiples of {p} pixels")
    if not about["images"][0] <= shape[0] <= about["images"][1]:
        raise ValueError(f"{shape[0]} images: this program takes {about['images'][0]} to {about['images'][1]} at once")
    rows, columns = shape[2] // p, shape[3] // p
    if about["grid"] is not None and [rows, columns] != list(about["grid"]):
        raise ValueError(
            f"a grid of {rows} x {columns} patches: this program takes {about['grid'][0]} x {about['grid'][1]} alone"
        )
    if about["grid"] is None and not (low <= min(rows, columns) and max(rows, columns) <= high):
        raise ValueError(f"a grid of {rows} x {columns} patches: this program takes {low} to {high} a side")


def example(model: SigLino, grid: tuple[int, int] | None, largest: int) -> tuple[Tensor, dict[int, Dim]]:
    """Images to trace with, and the dimensions that stay open."""
    student = model.spec
    height, width = (side * student.patch_size for side in grid or (4, 6))
    images = torch.rand(2, student.channels, height, width).to(model.cls_token) * 2 - 1
    shape: dict[int, Dim] = {0: Dim("images", min=1, max=MOST_IMAGES)}
    if grid is None:
        shape |= {2: student.patch_size * Dim("rows", min=2, max=largest)}
        shape |= {3: student.patch_size * Dim("columns", min=2, max=largest)}
    return images, shape
