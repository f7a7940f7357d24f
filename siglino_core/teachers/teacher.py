"""What a distillation asks of a teacher: targets for the images that the student sees, on the student's own grid.

A teacher of your own is any object with a card and this call; nothing need be inherited.

Legend: B images, N patches of all images, V values of a patch, R registers, C the teacher's width.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from siglino_core.encoders.card import Card


class Targets(NamedTuple):
    """What a teacher says of a pack of images."""

    summaries: Tensor  # [B, C]
    patches: Tensor | None = None  # [N, C], all images' patches in order; None: it speaks of images alone
    registers: Tensor | None = None  # [B, R, C]


class Teacher(Protocol):
    """A frozen network."""

    card: Card

    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        """Targets, without gradient.

        Args:
            patches_NV: the student's pixels, in +-1 (mean and deviation 0.5), a patch's values in the order
                (row, column, channel); the images' patches one after the other. The teacher's own preprocessing
                starts from here.
            shapes: each image's (height, width) in patches.
        """
        ...
