"""Images of any sizes as packs of patches, and features back in the images' order.

Legend: B images, N patches of all images, V values of a patch, H and W pixels, h and w patches, D width.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from siglino_core.errors import DataError
from siglino_core.evaluation.network.viewed import Seen
from siglino_core.images.patches import to_floats

TOKENS = {"cuda": 65_536}  # of one pass
ELSEWHERE = 8_192
FP16_MAX = 65_504.0


def patched(pixels_HW3: np.ndarray, patch_size: int) -> np.ndarray:
    """uint8 [N, V], patches row by row, a patch's values in the order (row, column, channel).

    Raises:
        DataError: sides that are no multiples of the patch.
    """
    height, width = pixels_HW3.shape[:2]
    if pixels_HW3.shape[2:] != (3,) or height % patch_size or width % patch_size or not height * width:
        raise DataError(f"pixels of {pixels_HW3.shape}: [H, W, 3], sides in multiples of {patch_size}")
    h, w = height // patch_size, width // patch_size
    return pixels_HW3.reshape(h, patch_size, w, patch_size, 3).swapaxes(1, 2).reshape(h * w, -1)


def grid(pixels_HW3: np.ndarray, patch_size: int) -> tuple[int, int]:
    """An image's (height, width) in patches."""
    return pixels_HW3.shape[0] // patch_size, pixels_HW3.shape[1] // patch_size


def passes(shapes: Sequence[tuple[int, int]], most: int, prefix: int = 0) -> Iterator[list[int]]:
    """The images' places, as many at once as hold ``most`` tokens; images of one shape are neighbours.

    An image that has more than ``most`` alone makes a pass of its own.
    """
    some: list[int] = []
    tokens = 0
    for place in sorted(range(len(shapes)), key=lambda i: (shapes[i], i)):
        needed = prefix + shapes[place][0] * shapes[place][1]
        if some and tokens + needed > most:
            yield some
            some, tokens = [], 0
        some.append(place)
        tokens += needed
    if some:
        yield some


def packed(images: Sequence[np.ndarray], patch_size: int, device: str) -> Tensor:
    """A pass's patches in +-1, fp32 [N, V] on the device, image after image."""
    patches_NV = torch.from_numpy(np.concatenate([patched(image, patch_size) for image in images]))
    return to_floats(patches_NV.to(device))


class Gathered:
    """Features of the passes, put back into the images' order.

    Args:
        shapes: all images' (height, width) in patches.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]) -> None:
        self._shapes = shapes
        self._summaries: dict[str, dict[int, np.ndarray]] = {}
        self._patches: dict[str, dict[int, np.ndarray]] = {}

    def add(
        self, places: Sequence[int], summaries: Mapping[str, Tensor], patches: Mapping[str, Tensor] | None = None
    ) -> None:
        """A pass's: summaries [B, D] and patches [N, D] of these images, by view."""
        for view, summaries_BD in summaries.items():
            rows = summaries_BD.float().cpu().numpy()
            self._summaries.setdefault(view, {}).update(zip(places, rows, strict=True))
        counts = [self._shapes[i][0] * self._shapes[i][1] for i in places]
        for view, patches_ND in (patches or {}).items():
            # A value beyond fp16's range is held at its end; NaN stays, for the caller to refuse.
            half_ND = patches_ND.float().clamp(-FP16_MAX, FP16_MAX).half().cpu()
            for place, image_ND in zip(places, half_ND.split(counts), strict=True):
                maps = self._patches.setdefault(view, {})
                maps[place] = image_ND.unflatten(0, self._shapes[place]).numpy()

    def seen(self, widths: Mapping[str, int], dense: Sequence[str] = ()) -> Seen:
        """All images' features.

        Args:
            widths: of the views, by name.
            dense: the views whose patches are wanted.
        """
        order = range(len(self._shapes))
        summaries = {
            view: np.stack([self._summaries[view][i] for i in order])
            if self._shapes
            else np.empty((0, width), np.float32)
            for view, width in widths.items()
        }
        return Seen(summaries=summaries, patches={v: [self._patches[v][i] for i in order] for v in dense})


def tokens_at_once(device: str) -> int:
    """How many tokens one pass holds on this device."""
    return TOKENS.get(device.partition(":")[0], ELSEWHERE)
