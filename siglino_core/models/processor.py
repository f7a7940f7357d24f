"""Images to patches at their own aspect: bicubic to whole patches, within bounds on the area."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_base import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from .patches import pad, patchify
from .resolution import Resolution


class SigLinoImageProcessor(BaseImageProcessor):
    """PIL images or arrays [height, width, 3] to ``pixel_values``, ``padding_mask`` and ``spatial_shapes``.

    Args:
        patch_size: side of a patch, in pixels.
        min_pixels, max_pixels: bounds on an image's area; one outside is scaled, its aspect kept.
    """

    model_input_names = ["pixel_values", "padding_mask", "spatial_shapes"]  # noqa: RUF012

    def __init__(self, patch_size: int = 16, min_pixels: int = 128**2, max_pixels: int = 256**2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.patch_size, self.min_pixels, self.max_pixels = patch_size, min_pixels, max_pixels
        Resolution(**self._settings())  # refuses what cannot be

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) in pixels to which an image is resized.

        Raises:
            ValueError: a side under one patch, or an aspect over 200.
        """
        h, w = Resolution(**self._settings()).sizes(np.array([height]), np.array([width]))[0]
        return int(h), int(w)

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
