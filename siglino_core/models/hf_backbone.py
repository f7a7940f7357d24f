"""The student as ``transformers`` knows backbones: maps of patches, for heads that predict something everywhere.

Legend: B images, D width, h, w an image's height and width in patches.
"""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers.modeling_outputs import BackboneOutput

from .attention_maps import attention_maps
from .batch import batch_of
from .hf_model import SigLinoModel


class SigLinoBackbone(SigLinoModel):
    """The student as ``AutoBackbone`` knows models: maps of patches, for heads that predict something everywhere.

    ``out_indices`` count as in ``transformers``: 0 is before the first block, i after block i; ``stage_names`` names
    them. ``AutoBackbone.from_pretrained(folder, out_indices=[6, 12])`` chooses; else the last is given.
    """

    @property
    def stage_names(self) -> list[str]:
        return ["stem", *(f"stage{i + 1}" for i in range(len(self.layers)))]

    @property
    def out_indices(self) -> list[int]:
        """Numbers of the stages that are given.

        Raises:
            ValueError: the config asks for one that there is not.
        """
        by_name, by_number = self.config.out_features, self.config.out_indices
        if by_name is None and by_number is None:
            return [len(self.stage_names) - 1]
        numbers = [self._numbers(wanted) for wanted in (by_name, by_number) if wanted is not None]
        if numbers[0] != numbers[-1]:
            raise ValueError(f"out_features={by_name} and out_indices={by_number} differ: set one of them to None")
        return numbers[0]

    @out_indices.setter
    def out_indices(self, chosen: Sequence[int]) -> None:
        self.config.out_features, self.config.out_indices = None, list(chosen)

    @property
    def out_features(self) -> list[str]:
        return [self.stage_names[i] for i in self.out_indices]

    @out_features.setter
    def out_features(self, chosen: Sequence[str]) -> None:
        self.config.out_features, self.config.out_indices = list(chosen), None

    def _numbers(self, wanted: Any) -> list[int]:
        names, chosen = self.stage_names, [wanted] if isinstance(wanted, int | str) else list(wanted)
        for one in chosen:
            if one not in names and not (isinstance(one, int) and -len(names) <= one < len(names)):
                raise ValueError(f"out_indices, out_features: no {one}; there are 0 to {len(names) - 1}, or {names}")
        if not chosen:
            raise ValueError(f"out_indices, out_features: none; there are 0 to {len(names) - 1}, or {names}")
        return [names.index(one) if isinstance(one, str) else one % len(names) for one in chosen]

    def forward_with_filtered_kwargs(self, *args: Any, **kwargs: Any) -> Any:
        """The call as UperNet and others make it, less the keywords that there are not here."""
        known = inspect.signature(self.forward).parameters
        return self(*args, **{k: v for k, v in kwargs.items() if k in known})

    @property
    def channels(self) -> list[int]:
        """Of each map."""
        return [self.spec.width] * len(self.out_indices)

    def forward(  # type: ignore[override]
        self,
        pixel_values: Tensor,
        padding_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> BackboneOutput | tuple[Any, ...]:
        """Maps [B, D, h, w] of images of one size, after the last norm.

        Raises:
            ValueError: images of several sizes.
        """
        batch = batch_of(self, pixel_values, padding_mask, spatial_shapes)
        batch.one_grid()
        states: list[Tensor] = []
        self.encode(batch.patches_NV, batch.layout, states)
        maps = tuple(self._laid_out(self.norm(states[i]), batch, "NCHW")[0] for i in self.out_indices)
        out = BackboneOutput(
            feature_maps=maps,  # type: ignore[arg-type]
            hidden_states=tuple(map(batch.tokens, states))  # type: ignore[arg-type]
            if self._wanted("output_hidden_states", output_hidden_states)
            else None,
            attentions=tuple(attention_maps(self, batch, states))  # type: ignore[arg-type]
            if self._wanted("output_attentions", output_attentions)
            else None,
        )
        return out if self._wanted("return_dict", return_dict) else out.to_tuple()
