"""What an evaluation asks of a network: features of images in every space that it has.

Legend: B images, H and W pixels, h and w patches, D width, L mixture layers, K kinds of tokens, E experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from PIL import Image

from siglino_core.models.encoder import STUDENT

MEAN = f"{STUDENT}_mean"  # of a student's own patches: what it says where its CLS token has learned nothing yet


class Pixels(Protocol):
    """How a network wants its images; small and picklable, so that decoding needs no weights."""

    def __call__(self, image: Image.Image) -> np.ndarray:
        """An RGB image as uint8 pixels [H, W, 3].

        Raises:
            ValueError: the image cannot be brought to such a size.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What decides the pixels, as plain values: resize rule, interpolation, bounds."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """Features of some images.

    Attributes:
        summaries: fp32 [B, D] by view, of any length.
        patches: fp16 [h, w, D] an image, by view; empty unless they were asked for.
        experts: how often a student's mixture layers chose each expert for each kind of token, int64 [L, K, E], as
            `siglino_core.evaluation.expert_load.expert_counts` has them; None: it has no experts.
    """

    summaries: Mapping[str, np.ndarray]
    patches: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    experts: np.ndarray | None = None


class Viewed(Protocol):
    """A frozen network, ready to compute.

    Attributes:
        identity: a hash of its weights and of whatever else shapes the features, the pixels apart.
        views: the width of each of its feature spaces, by name.
        dense: the views that have features of patches.
        texts: the spec of the text side that belongs to a view, such as ``siglip2:FOLDER``, where there is one.
        pixels: how it wants its images.
    """

    identity: str
    views: Mapping[str, int]
    dense: Sequence[str]
    texts: Mapping[str, str]
    pixels: Pixels

    def __call__(self, images: Sequence[np.ndarray], *, dense: bool = False) -> Seen:
        """Features; an image's do not depend on the others.

        Args:
            images: as ``pixels`` gives them, of any sizes that it can give.
            dense: patches too.
        """
        ...
