"""Images to patches at their own aspect: bicubic to whole patches, within bounds on the area."""

import importlib
import inspect
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.image_processing_base import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor

from .inputs import each, picture
from .patches import pad, patchify
from .resolution import MAX_ASPECT, Resolution

_UNREADABLE = (ValueError, OSError, SyntaxError, Image.DecompressionBombError)  # whatever Pillow says of a file
_OF_LOADING = (  # keywords of transformers' own
    "return_unused_kwargs", "use_fast", "backend", "trust_remote_code", "code_revision", "revision", "config", "device",
    "_from_auto", "_commit_hash", "_from_pipeline", "user_agent", "task", "token", "subfolder", "cache_dir",
    "force_download", "local_files_only", "proxies", "adapter_kwargs", "torch_dtype", "dtype", "processor_class",
)  # fmt: skip
_OF_FILES = ("image_processor_type", "processor_class", "feature_extractor_type", "auto_map")  # what is beside settings


class SigLinoImageProcessor(BaseImageProcessor):
    """Images of any kind (`siglino_core.models.inputs`) to ``pixel_values``, ``padding_mask``, ``spatial_shapes``.

    A side under one patch is brought up to one, its aspect kept; an aspect over 200 is refused.

    Args:
        patch_size: side of a patch, in pixels; the model's.
        min_pixels, max_pixels: bounds on an image's area; one outside is scaled, its aspect kept.
        max_num_patches: the upper bound in patches, in place of ``max_pixels``. As with that, an image thinner than a
            patch at this area keeps one patch across.
        size: ``{"height": ..., "width": ...}`` in pixels, multiples of the patch, or one number for both: every
            image is resized to it, whatever its aspect and area.
        do_resize: False takes images as they are, whose sides are multiples of the patch then.
        resample: a filter of Pillow's, by its number.
        do_rescale: multiply pixels of 0 to 255 by ``rescale_factor``. Arrays of real numbers are from 0 to 1, and stand
            for pixels. False leaves pixels from 0 to 255, and takes arrays of real numbers as they are.
        do_normalize: subtract ``image_mean``, then divide by ``image_std``.
        image_mean, image_std: a number, or one for each of the three colours.

    Raises:
        ValueError: a value out of range, or a setting that there is not.
    """

    model_input_names = ["pixel_values", "padding_mask", "spatial_shapes"]  # noqa: RUF012

    def __init__(
        self,
        patch_size: int = 16,
        min_pixels: int = 128**2,
        max_pixels: int = 256**2,
        max_num_patches: int | None = None,
        size: Mapping[str, int] | int | None = None,
        do_resize: bool = True,
        resample: int = Image.Resampling.BICUBIC,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: float | Sequence[float] = 0.5,
        image_std: float | Sequence[float] = 0.5,
        **kwargs: Any,
    ) -> None:
        _require_known([k for k in kwargs if k not in _OF_FILES], _settings())
        super().__init__(**kwargs)
        for name, number in (("patch_size", patch_size), ("min_pixels", min_pixels), ("max_pixels", max_pixels)):
            _require_whole_number(name, number)
        if max_num_patches is not None:
            _require_whole_number("max_num_patches", max_num_patches)
        if not isinstance(rescale_factor, int | float):
            raise ValueError(f"rescale_factor={rescale_factor!r}: a number")
        if resample not in list(Image.Resampling):
            raise ValueError(f"resample={resample!r}: {', '.join(f'{r.value} ({r.name})' for r in Image.Resampling)}")
        self.patch_size, self.min_pixels, self.max_pixels = patch_size, min_pixels, max_pixels
        self.max_num_patches, self.size = max_num_patches, None if size is None else _fixed(size, patch_size)
        self.do_resize, self.resample = do_resize, int(resample)
        self.do_rescale, self.rescale_factor, self.do_normalize = do_rescale, rescale_factor, do_normalize
        self.image_mean, self.image_std = _colours("image_mean", image_mean), _colours("image_std", image_std)
        self._rule()  # refuses what cannot be
        if not (0 < rescale_factor < math.inf and all(0 < s < math.inf for s in self.image_std)):
            raise ValueError(f"rescale_factor={rescale_factor}, image_std={self.image_std}: above 0")

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs: Any) -> Any:
        """From the content of ``preprocessor_config.json``; what there is of no setting's name has no effect."""
        mine = [*_settings(), *_OF_FILES]
        found = {k: v for k, v in image_processor_dict.items() if k in mine}
        changes = {k: v for k in _settings() if (v := kwargs.pop(k, None)) is not None}
        if not kwargs.get("return_unused_kwargs"):
            _require_known([k for k in kwargs if k not in _OF_LOADING], _settings())
        return super().from_dict(_changed(found, changes), **kwargs)

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> Any:  # type: ignore[override]
        """As in ``transformers``, with the code file that ``trust_remote_code`` reads."""
        if type(self)._auto_class is None:  # not loaded from such a file, which transformers would copy itself
            code = importlib.import_module(f"{__package__}.flat")
            self.auto_map = {"AutoImageProcessor": code.AUTO_MAP["AutoImageProcessor"]}
            code.write(save_directory, code.PROCESSOR)
        return super().save_pretrained(save_directory, **kwargs)

    def target_size(self, height: int, width: int) -> tuple[int, int]:
        """The (height, width) in pixels to which an image is resized.

        Raises:
            ValueError: an aspect over 200; without resizing, a side that is no multiple of the patch.
        """
        p = self.patch_size
        if not self.do_resize:
            if height % p or width % p:
                raise ValueError(f"an image of {width} x {height} pixels: without do_resize, in multiples of {p}")
            return height, width
        if self.size is not None:
            return self.size["height"], self.size["width"]
        short = min(height, width)
        if short < 1 or max(height, width) > MAX_ASPECT * short:
            raise ValueError(f"an image of {width} x {height} pixels: an aspect of at most {MAX_ASPECT}")
        rule = self._rule()
        h, w = rule.sizes(*rule.enlarged(np.array([height]), np.array([width])))[0]
        return int(h), int(w)

    def patches(self, image: Any) -> tuple[torch.Tensor, tuple[int, int]]:
        """One image's patches, fp32 [N, V], by default in +-1, and its (height, width) in patches.

        Raises:
            ValueError: it is no image, or cannot be scaled.
            OSError: a file cannot be read, or is no image.
        """
        seen = picture(image, as_given=not self.do_rescale)
        height, width = (seen.height, seen.width) if isinstance(seen, Image.Image) else seen.shape[:2]
        h, w = self.target_size(height, width)
        scaled_1CHW = torch.from_numpy(self._scaled(_resized(seen, h, w, self.resample))).permute(2, 0, 1)[None]
        return patchify(scaled_1CHW, self.patch_size)[0], (h // self.patch_size, w // self.patch_size)

    def __call__(self, images: Any = None, *args: Any, **kwargs: Any) -> BatchFeature:
        """As `preprocess`."""
        return self.preprocess(images, *args, **kwargs)

    def preprocess(  # type: ignore[override]
        self, images: Any = None, return_tensors: Any = None, **changes: Any
    ) -> BatchFeature:
        """A batch, padded to its largest image.

        Args:
            images: one, a list, or an array or tensor of four dimensions.
            return_tensors: ``pt`` (also when left out) or ``np``.
            changes: settings for this call, all but ``patch_size``; None is the processor's own.

        Raises:
            ValueError: an image that cannot be used, which it numbers from 0; a setting that there is not.
        """
        known = [name for name in _settings() if name != "patch_size"]
        _require_known([k for k in changes if k not in known], ["images", "return_tensors", *known])
        changes = {k: v for k, v in changes.items() if v is not None}
        processor = type(self)(**_changed(self._values(), changes)) if changes else self
        found = []
        for number, image in enumerate(each(images)):
            try:
                found.append(processor.patches(image))
            except _UNREADABLE as e:
                raise ValueError(f"image {number}: {e}") from e
        if not found:
            raise ValueError("no images")
        patches, shapes = zip(*found, strict=True)
        return _batch(patches, shapes, return_tensors)

    def pad(self, batches: Sequence[Mapping[str, Any]] | Mapping[str, Any], return_tensors: Any = None) -> BatchFeature:
        """What several calls returned, as one batch.

        Args:
            batches: with all three of the outputs, of any numbers of images.
            return_tensors: ``pt`` (also when left out) or ``np``.

        Raises:
            ValueError: there are none.
        """
        patches, shapes = [], []
        several: Sequence[Any] = [batches] if isinstance(batches, Mapping) else batches
        for batch in several:
            if missing := [k for k in ("pixel_values", "spatial_shapes") if k not in batch]:
                raise ValueError(f"a batch without {' and '.join(missing)}: give what this processor returned")
            for values, (h, w) in zip(batch["pixel_values"], np.asarray(batch["spatial_shapes"]).tolist(), strict=True):
                patches.append(torch.as_tensor(values)[: h * w])
                shapes.append((h, w))
        if not patches:
            raise ValueError("no batches to pad")
        return _batch(patches, shapes, return_tensors)

    def _rule(self) -> Resolution:
        low, high = self.min_pixels, self.max_pixels
        if self.max_num_patches is not None:
            if self.max_num_patches < 1:
                raise ValueError(f"max_num_patches={self.max_num_patches}: at least 1")
            high = self.max_num_patches * self.patch_size**2
            low = min(low, high)
        return Resolution(patch_size=self.patch_size, min_pixels=low, max_pixels=high)

    def _scaled(self, pixels_HW3: np.ndarray) -> np.ndarray:
        """Rescaled and normalised in one division and one subtraction, the same ones as in training."""
        factor = self.rescale_factor if self.do_rescale else 1.0
        mean_3, std_3 = np.array((self.image_mean, self.image_std) if self.do_normalize else ((0.0,) * 3, (1.0,) * 3))
        return pixels_HW3 / (std_3 / factor).astype(np.float32) - (mean_3 / std_3).astype(np.float32)

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _settings()}


def _settings() -> list[str]:
    """The settings' names."""
    return [*inspect.signature(SigLinoImageProcessor.__init__).parameters][1:-1]


def _require_known(unknown: list[str], known: list[str]) -> None:
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no setting of this image processor; there are {', '.join(known)}")


def _changed(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with changes: the bound that changes counts before the one in another unit, a lower one, or a size."""
    if changes.get("max_pixels") is not None and changes.get("max_num_patches") is not None:
        raise ValueError("max_pixels and max_num_patches are one bound in two units: give one of them")
    values = {**values, **changes}
    if "size" not in changes and {"min_pixels", "max_pixels", "max_num_patches"} & changes.keys():
        values["size"] = None
    if "max_pixels" in changes:
        values["max_num_patches"] = None
        if "min_pixels" not in changes and "min_pixels" in values:
            values["min_pixels"] = min(values["min_pixels"], values["max_pixels"])
    return values


def _fixed(size: Mapping[str, int] | int, patch_size: int) -> dict[str, int]:
    if isinstance(size, int):
        size = {"height": size, "width": size}
    if not isinstance(size, Mapping) or set(size) != {"height", "width"}:
        raise ValueError(f'size={size}: {{"height": ..., "width": ...}}; min_pixels and max_pixels keep the aspect')
    height, width = size["height"], size["width"]
    for side in (height, width):
        _require_whole_number("size", side)
    if min(height, width) < patch_size or height % patch_size or width % patch_size:
        raise ValueError(f"size={dict(size)}: multiples of the patch, which is {patch_size} pixels")
    return {"height": height, "width": width}


def _require_whole_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"{name}={value!r}: a whole number")


def _colours(name: str, value: Any) -> list[float]:
    values = [float(value)] * 3 if isinstance(value, int | float) else [float(v) for v in value]
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise ValueError(f"{name}={value}: one number, or three")
    return values


def _resized(seen: Image.Image | np.ndarray, height: int, width: int, resample: int) -> np.ndarray:
    """fp32 [H, W, 3]."""
    if isinstance(seen, Image.Image):
        return np.array(seen.resize((width, height), Image.Resampling(resample)), dtype=np.float32)
    colours = (Image.fromarray(np.ascontiguousarray(seen[..., c])) for c in range(3))
    resized = [np.asarray(c.resize((width, height), Image.Resampling(resample))) for c in colours]
    return np.stack(resized, axis=-1)


def _batch(patches: Sequence[torch.Tensor], shapes: Sequence[tuple[int, int]], return_tensors: Any) -> BatchFeature:
    kind = getattr(return_tensors, "value", return_tensors)  # transformers also has an enum of them
    if kind not in (None, "pt", "np"):
        raise ValueError(f"return_tensors={kind!r}: 'pt' or 'np'")
    padded, mask = pad(list(patches))
    batch = {"pixel_values": padded, "padding_mask": mask, "spatial_shapes": torch.tensor(shapes)}
    return BatchFeature({k: v.numpy() for k, v in batch.items()} if kind == "np" else batch)
