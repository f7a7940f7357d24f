"""Images to patches at their own aspect: bicubic to whole patches, within bounds on the area."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_base import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from .patches import pad, patchify

MAX_ASPECT = 200


class SigLinoImageProcessor(BaseImageProcessor):
    """PIL images or arrays [height, width, 3] to ``pixel_values``, ``padding_mask`` and ``spatial_shapes``.

    Args:
        patch_size: side of a patch, in pixels.
        min_pixels, max_pixels: bounds on an image's area; one outside is scaled, its aspect kept.
    """

    model_input_names = ["pixel_values", "padding_mask", "spatial_shapes"]  # noqa: RUF012

    def __init__(self, patch_size: int = 16, min_pixels: int = 128**2, max_pixels: int = 256**2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < min_pixels <= max_pixels:
            raise ValueError(f"min_pixels={min_pixels}: above 0, at most max_pixels={max_pixels}")
        self.patch_size, self.min_pixels, self.max_pixels = patch_size, min_pixels, max_pixels

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) in pixels to which an image is resized.

        Raises:
            ValueError: a side under one patch, or an aspect over 200.
        """
        p = self.patch_size
        if min(height, width) < p:
            raise ValueError(f"an image of {width} x {height} pixels: each side at least {p}")
        if max(height, width) > MAX_ASPECT * min(height, width):
            raise ValueError(f"an image of {width} x {height} pixels: an aspect of at most {MAX_ASPECT}")
        h, w = round(height / p) * p, round(width / p) * p  # halves to even
        if h * w > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            h, w = (max(p, math.floor(side / shrink / p) * p) for side in (height, width))
        elif h * w < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            h, w = (math.ceil(side * grow / p) * p for side in (height, width))
        return h, w

    def patches(self, image: Any) -> tuple[torch.Tensor, tuple[int, int]]:
        """One image's patches, fp32 [N, V] in +-1, and its (height, width) in patches."""
        picture = image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))
        picture = picture.convert("RGB")
        h, w = self.size(picture.height, picture.width)
        pixels_HW3 = np.array(picture.resize((w, h), Image.Resampling.BICUBIC), dtype=np.float32)
        scaled_1CHW = torch.from_numpy(pixels_HW3 / 127.5 - 1).permute(2, 0, 1)[None]
        return patchify(scaled_1CHW, self.patch_size)[0], (h // self.patch_size, w // self.patch_size)

    def preprocess(  # type: ignore[override]
        self, images: Any, return_tensors: str | None = None, **overrides: Any
    ) -> BatchFeature:
        """A batch, padded to its largest image.

        Args:
            images: one, or a sequence.
            return_tensors: tensors are torch's in any case; accepted for the sake of the common call.
            overrides: ``min_pixels``, ``max_pixels`` for this call.
        """
        processor = type(self)(**{**self._settings(), **overrides}) if overrides else self
        several = images if isinstance(images, Sequence) else [images]
        patches, shapes = zip(*(processor.patches(i) for i in several), strict=True)
        padded, mask = pad(list(patches))
        return BatchFeature({"pixel_values": padded, "padding_mask": mask, "spatial_shapes": torch.tensor(shapes)})

    def _settings(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("patch_size", "min_pixels", "max_pixels")}
