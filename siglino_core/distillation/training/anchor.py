"""Gram anchoring: a frozen student of before, whose patches keep their cosines in the one that trains.

Source: Siméoni et al. 2025, "DINOv3" (arXiv 2508.10104), section 4.2: patches lose their locality in long training, and
those of an early checkpoint hold them to it.

Legend: N patches of all images, V values of a patch, D width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from siglino_core.errors import ConfigError
from siglino_core.models import SigLino, SigLinoConfig

SETTING = "train.loss.gram_checkpoint"


class Anchor:
    """A frozen student in evaluation mode; every rank holds all of it.

    Args:
        model: of any width and depth, on its device and in its precision.
    """

    def __init__(self, model: SigLino) -> None:
        self.model = model.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]], total: int | None = None) -> Tensor:
        """The patches' features after its last norm, before its heads: [N, D], without a gradient.

        Args:
            patches_NV: pixels in +-1 of the images of a pack, one after the other.
            shapes: each image's (height, width) in patches.
            total: tokens of the pack, padding included.
        """
        layout = self.model.layout(list(shapes), total)
        return self.model.encode(patches_NV, layout)[layout.patch_N]


def load_anchor(source: str, shape: SigLinoConfig, *, device: str, dtype: torch.dtype) -> Anchor:
    """The anchor from an exported folder, a training checkpoint or a file of weights (`load_student`).

    Args:
        shape: of the student that trains; both must cut images into the same patches.

    Raises:
        ConfigError: there is nothing of the kind, or its patches are others.
        DataError: it is damaged.
    """
    from siglino_core.weights.load import load_student  # transformers: seconds

    model = load_student(source)
    theirs, ours = ((s.patch_size, s.channels) for s in (model.spec, shape))
    if theirs != ours:
        raise ConfigError(
            f"{SETTING}={source} has patches of {theirs[0]} pixels and {theirs[1]} channels, train.student of "
            f"{ours[0]} and {ours[1]}: cosines are compared patch by patch. Take a student with the same patches."
        )
    return Anchor(model.to(device=device, dtype=dtype))  # type: ignore[call-overload]
