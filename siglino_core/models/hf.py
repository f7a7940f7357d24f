"""The student as ``transformers`` knows models: ``AutoModel.from_pretrained`` and ``save_pretrained``.

Legend: B images, N patches of the largest image, V values of a patch, R registers, C a teacher's width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoImageProcessor, AutoModel, PreTrainedModel
from transformers.utils.generic import ModelOutput

from .encoder import SigLino
from .hf_config import SigLinoHFConfig
from .moe import MixtureOfExperts
from .patches import patchify
from .processor import SigLinoImageProcessor


@dataclass
class SigLinoOutput(ModelOutput):
    """Features by teacher, and under ``siglino`` in the student's own space."""

    patch_features: dict[str, Tensor] | None = None  # [B, N, C]; zero where there is no patch
    summary_features: dict[str, Tensor] | None = None  # [B, C]
    register_features: dict[str, Tensor] | None = None  # [B, R, C]


class SigLinoModel(SigLino, PreTrainedModel):
    """The student with the published state dict, config and call."""

    config_class = SigLinoHFConfig
    main_input_name = "pixel_values"
    base_model_prefix = ""
    _no_split_modules = ["Block"]  # noqa: RUF012
    _supports_sdpa = True
    _keep_in_fp32_modules_strict = ["expert_bias", "freqs_cis_golden"]  # noqa: RUF012

    def __init__(self, config: SigLinoHFConfig) -> None:
        PreTrainedModel.__init__(self, config)
        self.build(config.spec(), "auto")
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        if module is self:
            self.reset_parameters()
        elif isinstance(module, MixtureOfExperts):
            module.load = torch.zeros_like(module.load, dtype=torch.float32)  # in no checkpoint

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in ``transformers``, but strict: a key that is missing or left over is an error.

        Raises:
            ValueError: the weights are not those of the config.
        """
        wanted = kwargs.pop("output_loading_info", False)
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)  # type: ignore[misc]
        wrong = {k: sorted(map(str, v)) for k, v in info.items() if v and k.endswith("_keys")}
        if wrong:
            raise ValueError(f"the weights don't fit the config: {wrong}")
        model.check_frequencies(model.freqs_cis_golden)
        return (model, info) if wanted else model

    def forward(  # type: ignore[override]
        self,
        pixel_values: Tensor,
        padding_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> SigLinoOutput | tuple[dict[str, Tensor], ...]:
        """Features of a batch.

        Args:
            pixel_values: patches [B, N, V] from the processor, or images [B, channels, height, width]; pixels in +-1.
            padding_mask: [B, N], true (or 1) where there is a patch; an image's patches come first.
            spatial_shapes: int [B, 2], each image's (height, width) in patches.

        Raises:
            ValueError: shapes that contradict one another.
        """
        if pixel_values.ndim == 4:
            size = self.spec.patch_size
            shapes = [(pixel_values.shape[2] // size, pixel_values.shape[3] // size)] * len(pixel_values)
            pixel_values = patchify(pixel_values, size)
        elif spatial_shapes is None:
            raise ValueError("patches need their spatial_shapes: each image's (height, width) in patches")
        else:
            shapes = [(h, w) for h, w in spatial_shapes.tolist()]
        mask_BN = _mask(pixel_values, padding_mask, shapes)
        packed = self.features(pixel_values[mask_BN], self.layout(shapes))
        out = SigLinoOutput(
            patch_features={name: _unpack(x, mask_BN) for name, x in packed.patches.items()},
            summary_features=packed.summaries,
            register_features=packed.registers,
        )
        return out if return_dict is not False else out.to_tuple()


def _mask(pixels_BNV: Tensor, padding_mask: Tensor | None, shapes: list[tuple[int, int]]) -> Tensor:
    images, longest = pixels_BNV.shape[:2]
    counts_B = torch.tensor([h * w for h, w in shapes], device=pixels_BNV.device)
    mask_BN = torch.arange(longest, device=pixels_BNV.device) < counts_B[:, None]
    if len(shapes) != images or int(counts_B.max()) > longest:
        raise ValueError(f"spatial_shapes={shapes}: pixel_values hold {images} images of up to {longest} patches")
    if padding_mask is not None and not torch.equal(padding_mask.bool(), mask_BN):
        raise ValueError("padding_mask: each image's patches come first, as many as its spatial shape has")
    return mask_BN


def _unpack(x_NC: Tensor, mask_BN: Tensor) -> Tensor:
    out = x_NC.new_zeros(*mask_BN.shape, x_NC.shape[-1])
    return out.masked_scatter(mask_BN[..., None], x_NC)


SigLinoHFConfig.register_for_auto_class()
SigLinoModel.register_for_auto_class("AutoModel")
SigLinoImageProcessor.register_for_auto_class("AutoImageProcessor")
if not __name__.startswith("transformers_modules"):  # an exported copy of this file is named in its folder's config
    AutoConfig.register("siglino", SigLinoHFConfig, exist_ok=True)
    AutoModel.register(SigLinoHFConfig, SigLinoModel, exist_ok=True)
    backends = {"pil": SigLinoImageProcessor, "torchvision": SigLinoImageProcessor}
    AutoImageProcessor.register(SigLinoHFConfig, image_processor_classes=backends, exist_ok=True)
