"""The student as ``transformers`` knows models: ``from_pretrained``, ``save_pretrained``, outputs by its names.

Legend: B images, P tokens of an image before its patches (CLS, registers), R registers, N patches of the largest image,
V values of a patch, D width, C a teacher's width, H attention heads, h, w an image's height and width in patches.
"""

import importlib
import operator
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from .attention_maps import attention_maps
from .batch import Batch, batch_of
from .encoder import STUDENT, Features, SigLino
from .hf_config import SigLinoHFConfig
from .moe import MixtureOfExperts
from .precision import exact_parameters

Format = Literal["NCHW", "NLC"]


@dataclass
class SigLinoOutput(ModelOutput):
    """What the student says of a batch; features by teacher, and under ``siglino`` in the student's own space.

    In padded batches, what belongs to no patch is zero.
    """

    last_hidden_state: Tensor | None = None  # [B, P + N, D]: CLS, registers, patches; after the last norm
    pooler_output: Tensor | None = None  # [B, D]: CLS
    hidden_states: tuple[Tensor, ...] | None = None  # [B, P + N, D] before the first block and after each; not normed
    attentions: tuple[Tensor, ...] | None = None  # [B, H, P + N, P + N] of each block; a sink's share is missing
    spatial_shapes: Tensor | None = None  # int64 [B, 2], each image's (height, width) in patches
    patch_features: dict[str, Tensor] | None = None  # [B, N, C]
    summary_features: dict[str, Tensor] | None = None  # [B, C]
    register_features: dict[str, Tensor] | None = None  # [B, R, C]


class SigLinoModel(SigLino, PreTrainedModel):
    """The student with the published state dict, config and call."""

    config_class = SigLinoHFConfig
    main_input_name = "pixel_values"
    base_model_prefix = ""
    supports_gradient_checkpointing = True
    _no_split_modules = ["Block"]  # noqa: RUF012
    _supports_sdpa = True

    def __init__(self, config: SigLinoHFConfig) -> None:
        PreTrainedModel.__init__(self, config)
        self.build(config.spec(), "auto")
        # In quantised loading too: what a router chooses must not depend on 4 bits.
        self._keep_in_fp32_modules_strict = _exact_names(self)  # type: ignore[assignment]
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
        if model.freqs_cis_golden.device.type != "meta":
            model.check_frequencies(model.freqs_cis_golden)
            model.freqs_cis_golden.copy_(model.golden())  # a checkpoint in half precision has rounded them
        return (model, info) if wanted else model

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:  # type: ignore[override]
        """As in ``transformers``, with the code files that ``trust_remote_code`` reads."""
        if type(self)._auto_class is None:  # not loaded from such files, which transformers would copy itself
            code = importlib.import_module(f"{__package__}.flat")
            self.config.auto_map = dict(code.AUTO_MAP)
            code.write(save_directory)
        super().save_pretrained(save_directory, **kwargs)
        Path(save_directory, "SHA256SUMS").unlink(missing_ok=True)  # of an export that this was: no longer true

    def get_input_embeddings(self) -> torch.nn.Module:
        """The layer that embeds a patch."""
        return self.img_projector

    def set_input_embeddings(self, value: torch.nn.Module) -> None:
        """Replace the layer that embeds a patch."""
        self.img_projector = value

    def forward(  # type: ignore[override]
        self,
        pixel_values: Tensor,
        padding_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        heads: Collection[str] | str | None = None,
        normalize: bool = False,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> SigLinoOutput | tuple[Any, ...]:
        """Features of a batch.

        Args:
            pixel_values: patches [B, N, V] from the processor, or images [B, channels, height, width]; pixels in +-1.
            padding_mask: [B, N], true (or 1) where there is a patch; an image's patches come first.
            spatial_shapes: int [B, 2], each image's (height, width) in patches.
            heads: the teachers whose features are wanted, all if left out; ``siglino`` is there in any case.
            normalize: give all features length 1.
            output_hidden_states, output_attentions: give those too; the config's choice if left out.

        Raises:
            ValueError: shapes that contradict one another, or a head that there is not.
        """
        heads = [heads] if isinstance(heads, str) else heads
        if heads is not None and (unknown := set(heads) - {STUDENT, *(t.name for t in self.spec.teachers)}):
            there = ", ".join((STUDENT, *(t.name for t in self.spec.teachers)))
            raise ValueError(f"heads: no {', '.join(sorted(map(str, unknown)))} here; there are {there}")
        batch = batch_of(self, pixel_values, padding_mask, spatial_shapes)
        with_attentions = self._wanted("output_attentions", output_attentions)
        with_states = self._wanted("output_hidden_states", output_hidden_states)
        states: list[Tensor] | None = [] if with_states or with_attentions or self.spec.in_between else None
        x_TD = self.encode(batch.patches_NV, batch.layout, states)
        found = self.predicted(x_TD, batch.layout, heads, states=states or ())
        if normalize:
            found = Features(*({k: _unit(x) for k, x in part.items()} for part in found))
        out = SigLinoOutput(
            last_hidden_state=batch.tokens(x_TD),
            pooler_output=batch.layout.parted(x_TD)[0][:, 0],
            hidden_states=tuple(map(batch.tokens, states)) if states and with_states else None,
            attentions=tuple(attention_maps(self, batch, states)) if states and with_attentions else None,
            spatial_shapes=batch.shapes_B2,
            patch_features={name: batch.padded(x) for name, x in found.patches.items()},
            summary_features=found.summaries,
            register_features=found.registers,
        )
        keyed = self._wanted("return_dict", return_dict)
        return out if keyed else out.to_tuple()

    def intermediates(
        self,
        pixel_values: Tensor,
        layers: int | Sequence[int] = 1,
        *,
        norm: bool = True,
        format: Format = "NCHW",
        padding_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
    ) -> list[Tensor]:
        """Patches after some of the blocks.

        Args:
            layers: the last so many, or the blocks' numbers from 0; negative ones count from the end.
            norm: put them through the last norm.
            format: ``NCHW`` gives maps [B, D, h, w], of images that have one size; ``NLC`` gives [B, N, D].

        Raises:
            ValueError: a block that there is not, or maps of images that differ in size.
        """
        batch = batch_of(self, pixel_values, padding_mask, spatial_shapes)
        states: list[Tensor] = []
        self.encode(batch.patches_NV, batch.layout, states)
        return [patches for patches, _ in self._between(states, layers, batch, norm, format)]

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Format = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """As timm's models have it: images [B, channels, height, width] to the last tokens and those of some blocks.

        Args:
            indices: the last so many blocks, or their numbers from 0; all if left out.
            return_prefix_tokens: give pairs of patches and CLS with registers.
            stop_early: has no effect: all blocks are computed.

        Returns:
            (last tokens after the last norm, list), or the list alone.
        """
        batch = batch_of(self, x, None, None)
        states: list[Tensor] = []
        last = self.encode(batch.patches_NV, batch.layout, states)
        layers = len(self.layers) if indices is None else indices
        pairs = self._between(states, layers, batch, norm, output_fmt)
        found = pairs if return_prefix_tokens else [patches for patches, _ in pairs]
        return found if intermediates_only else (batch.tokens(last), found)

    def _wanted(self, name: str, given: bool | None) -> bool:
        return bool(getattr(self.config, name, name == "return_dict")) if given is None else given

    def _blocks(self, layers: int | Sequence[int]) -> list[int]:
        count, several = len(self.layers), isinstance(layers, Iterable)
        try:
            given = list(map(operator.index, layers if isinstance(layers, Iterable) else [layers]))
        except TypeError as e:
            raise ValueError(f"layers={layers}: the last so many, or the blocks' numbers") from e
        numbers = given if several else list(range(count - given[0], count))
        if not numbers or any(not -count <= i < count for i in numbers) or (not several and given[0] > count):
            raise ValueError(f"layers={layers}: this model has {count}")
        return [i % count for i in numbers]

    def _between(
        self, states: Sequence[Tensor], layers: int | Sequence[int], batch: Batch, norm: bool, format: Format
    ) -> list[tuple[Tensor, Tensor]]:
        """Of some blocks, the patches in a format and the tokens before them."""
        chosen = [states[1 + i] for i in self._blocks(layers)]
        return [self._laid_out(self.norm(x) if norm else x, batch, format) for x in chosen]

    def _laid_out(self, x_TD: Tensor, batch: Batch, format: Format) -> tuple[Tensor, Tensor]:
        """Patches in a format, and the tokens before them."""
        prefix_BPD, patches_ND = batch.layout.parted(x_TD)
        patches_BND = batch.padded(patches_ND)
        if format == "NLC":
            return patches_BND, prefix_BPD
        if format != "NCHW":
            raise ValueError(f"format={format!r}: 'NCHW' or 'NLC'")
        h, w = batch.one_grid()
        return patches_BND.mT.unflatten(2, (h, w)), prefix_BPD


def _exact_names(model: SigLino) -> set[str]:
    """Last names of what stays fp32, as ``transformers`` wants them: each must be there."""
    exact = set(map(id, exact_parameters(model)))
    names = [
        name.removesuffix(".weight").removesuffix(".bias") for name, p in model.named_parameters() if id(p) in exact
    ]
    return {name.rpartition(".")[2] for name in names}


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x.float(), dim=-1).to(x.dtype)
