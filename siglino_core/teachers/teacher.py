"""What a distillation asks of a teacher: targets for the images that the student sees, on the student's own grid.

A teacher of your own is any object with a card and this call; nothing need be inherited.

Legend: B images, N patches of all images, V values of a patch, R registers, C the teacher's width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from siglino_core.errors import ConfigError


class Targets(NamedTuple):
    """What a teacher says of a pack of images."""

    summaries: Tensor  # [B, C]
    patches: Tensor | None = None  # [N, C], all images' patches in order; None: it speaks of images alone
    registers: Tensor | None = None  # [B, R, C]


@dataclass(frozen=True, kw_only=True)
class TeacherCard:
    """What a run must know of a teacher before it is built.

    Attributes:
        name: one word; names the student's head.
        dim: C.
        identity: a hash of the weights and of what else shapes the output; of one identity, one set of targets.
        pooled: its summary is its own attention pooling over its tokens, which the student then copies.
        patches: it gives targets for patches.
        registers: R.
        patch_size: side of the patches that it takes, in pixels.
        linear_flops, quadratic_flops: of an image of n tokens, ``linear * n + quadratic * n^2``; for prices alone.

    Raises:
        ConfigError: a name that is no word, or a width below 1.
    """

    name: str
    dim: int
    identity: str
    pooled: bool = False
    patches: bool = True
    registers: int = 0
    patch_size: int = 16
    linear_flops: float = 0.0
    quadratic_flops: float = 0.0

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name == "siglino":
            raise ConfigError(f"a teacher named {self.name!r}: a word (letters, digits, _), and not 'siglino'")
        if self.dim < 1:
            raise ConfigError(f"teacher {self.name}: a width of {self.dim}")


class Teacher(Protocol):
    """A frozen network."""

    card: TeacherCard

    def __call__(self, patches_NV: Tensor, shapes: Sequence[tuple[int, int]]) -> Targets:
        """Targets, without gradient.

        Args:
            patches_NV: the student's pixels, in +-1 (mean and deviation 0.5), a patch's values in the order
                (row, column, channel); the images' patches one after the other. The teacher's own preprocessing
                starts from here.
            shapes: each image's (height, width) in patches.
        """
        ...
