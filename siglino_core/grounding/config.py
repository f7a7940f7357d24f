"""The early-fusion model's shape."""

from dataclasses import dataclass

from siglino_core.grounding.codecs import BINS
from siglino_core.models.config import SigLinoConfig


@dataclass(frozen=True, kw_only=True)
class GroundingConfig:
    """What stands beside the student.

    Attributes:
        student: shape of the image side: any student's, whose heads for teachers are not needed.
        text_experts: of each layer, for text and answers.
        text_top_k: of these, per token.
        text_hidden: hidden width of one; 0: twice the student's width over ``text_top_k``.
        shared_expert: one more per layer, for all tokens, image and text alike; its output begins at zero.
        bins: of a coordinate, and of a side.
        coordinate_hidden: hidden width of the heads for coordinates and sides.
        fourier: features by which a predicted point or size enters again.
        mask_width: channels of a mask's query and of the pixels' features.
        mask_scale: mask logits on each side of a patch.
        text_theta: base of the rotary frequencies of text's positions.
        places: whether the values that texts read of an image say where in it they are.

    Raises:
        ValueError: a value outside its range; the message names it.
    """

    student: SigLinoConfig
    text_experts: int = 4
    text_top_k: int = 2
    text_hidden: int = 0
    shared_expert: bool = False
    bins: int = BINS
    coordinate_hidden: int = 512
    fourier: int = 256
    mask_width: int = 64
    mask_scale: int = 4
    text_theta: float = 10_000.0
    places: bool = True

    def __post_init__(self) -> None:
        for name in ("text_experts", "text_top_k", "coordinate_hidden", "fourier", "mask_width", "mask_scale"):
            _require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}: at least 1")
        _require(self.text_hidden >= 0, f"text_hidden={self.text_hidden}: at least 0")
        _require(self.text_top_k <= self.text_experts, f"text_top_k={self.text_top_k}: at most {self.text_experts}")
        _require(self.bins >= 2, f"bins={self.bins}: at least 2")
        _require(self.fourier % 2 == 0, f"fourier={self.fourier}: even, since it is cosines and sines")
        _require(self.text_theta > 1, f"text_theta={self.text_theta}: above 1")

    @property
    def text_width(self) -> int:
        """Hidden width of a text expert."""
        return self.text_hidden or 2 * self.student.width // self.text_top_k


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
