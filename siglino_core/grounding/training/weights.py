"""What the terms of the loss weigh."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Of each term; 0 leaves it out, but for the answer's.

    Attributes:
        answer: cross-entropy of the answers' tokens, a mean over tokens.
        coordinate, size: cross-entropy of two bins each, a mean over instances.
        box: L1 and GIoU of the boxes that the bins mean, likewise: for small trainings, where bins learn slowly.
        focal, dice: of masks, a mean over instances that have one.
        gram: of the patches' cosines to those of the student that it began from, a mean over images.
        spread: bins, the standard deviation of the Gaussian that stands for a true bin; 0: the bin alone.

    Raises:
        ValueError: one is below 0.
    """

    answer: float = 1.0
    coordinate: float = 1.0
    size: float = 1.0
    box: float = 0.0
    focal: float = 20.0
    dice: float = 1.0
    gram: float = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        for f in fields(self):
            if not getattr(self, f.name) >= 0:
                raise ValueError(f"{f.name}={getattr(self, f.name)}: at least 0")
