"""What a distillation asks of a teacher: targets for the images that the student sees, on the student's own grid.

A teacher of your own is any object with these attributes and this call; nothing need be inherited.

Legend: B images, N patches of all images, V values of a patch, R registers, C the teacher's width.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor


class Targets(NamedTuple):
    """What a teacher says of a pack of images."""

    summaries: Tensor  # [B, C]
    patches: Tensor  # [N, C], all images' patches in order
    registers: Tensor | None = None  # [B, R, C]


class Teacher(Protocol):
    """A frozen network.

    Attributes:
        name: one word; names the student's head.
        dim: C.
        identity: a hash of the weights and of what else shapes the output; of one identity, one set of targets.
        pooled: its summary is its own attention pooling over its tokens, which the student then copies.
    """

    name: str
    dim: int
    identity: str
    pooled: bool

    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        """Targets, without gradient.

        Args:
            patches_NV: the student's pixels, in +-1 (mean and deviation 0.5), a patch's values in the order
                (row, column, channel); the images' patches one after the other. The teacher's own preprocessing
                starts from here.
            shapes: each image's (height, width) in patches.
        """
        ...
