"""The student that a config names, over the teachers that it will copy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from siglino_core.config import TrainConfig, did_you_mean
from siglino_core.encoders.card import Card
from siglino_core.errors import ConfigError
from siglino_core.models import PRESETS, HeadConfig, SigLino, SigLinoConfig


def student_config(config: TrainConfig, cards: Sequence[Card]) -> SigLinoConfig:
    """The shape, with a head for every teacher.

    Raises:
        ConfigError: no such student, or teachers that do not fit it.
    """
    shape = shape_of(config.student)
    form, layers = config.heads.form.value, tuple(config.heads.layers)
    try:
        heads = [HeadConfig(name=c.name, dim=c.dim, pooled=c.pooled, form=form, layers=layers) for c in cards]
        shape = replace(shape, teachers=tuple(heads))
    except ValueError as e:
        settings = "targets.teachers" + ", train.heads.layers" * bool(layers)
        raise ConfigError(f"{settings} and train.student={config.student}: {e}") from e
    for card in cards:
        if card.patch_size != shape.patch_size:
            raise ConfigError(
                f"teacher {card.name} has patches of {card.patch_size} pixels, train.student={config.student} of "
                f"{shape.patch_size}: targets must lie on the student's own grid. Take another of the two."
            )
        if card.registers not in (0, shape.registers):
            raise ConfigError(
                f"teacher {card.name} has {card.registers} registers, train.student={config.student} has "
                f"{shape.registers}: equal ones are needed. Set `registers` in a config.json of your own."
            )
    return shape


def shape_of(name: str) -> SigLinoConfig:
    """The shape that ``train.student`` names, with the teachers that its file or preset has.

    Raises:
        ConfigError: no such student.
    """
    if name in PRESETS:
        return PRESETS[name]
    if not name.endswith(".json"):
        known = list(PRESETS)
        raise ConfigError(f"train.student={name}: not one of {', '.join(known)}{did_you_mean(name, known)}")
    from siglino_core.models.hf_config import SigLinoHFConfig

    try:
        values = json.loads(Path(name).read_text(encoding="utf-8"))
        return SigLinoHFConfig.from_dict(values).spec()
    except Exception as e:  # the file's, JSON's, transformers' and ours: whatever a wrong type leads to
        raise ConfigError(f"train.student={name} cannot be read as a student's config.json ({e})") from e


def new_student(
    shape: SigLinoConfig,
    *,
    seed: int,
    heads: Mapping[str, Mapping[str, Tensor]],
    checkpoint: str = "",
) -> SigLino:
    """A student on the CPU, in fp32: from the published initialisation, or from weights.

    Args:
        heads: the pooling weights of pooled teachers, by teacher; the student's are copies of them, and frozen.
        checkpoint: see `siglino_core.weights.load.load_student`; heads of other teachers are left out, and those of
            teachers that it does not know begin anew.

    Raises:
        ConfigError, DataError: the weights cannot be had, or are of another shape.
    """
    torch.manual_seed(seed)
    model = SigLino(shape)
    if checkpoint:
        _fill(model, checkpoint)
    for name, weights in heads.items():
        pool = model.get_submodule(f"{name}_multihead_attention_pooling_head")
        try:
            pool.load_state_dict(weights)
        except RuntimeError as e:
            said = " ".join(str(e).splitlines()[1].split()).rstrip(".")
            raise ConfigError(
                f"teacher {name}: the student cannot copy its pooling head, which is not of SigLIP2's form ({said})"
            ) from e
        pool.requires_grad_(False)
    return model


def _fill(model: SigLino, checkpoint: str) -> None:
    from siglino_core.weights.load import load_student

    state: dict[str, Any] = load_student(checkpoint).state_dict()
    own = model.state_dict()
    heads = tuple(f"{t.name}_" for t in model.spec.teachers)
    lacking = [k for k in own if k not in state and not k.startswith((*heads, "layer_norm_dinov3"))]
    other = [k for k in own if k in state and state[k].shape != own[k].shape]
    if lacking or other:
        raise ConfigError(
            f"train.checkpoint={checkpoint} is of another student than train.student: "
            f"{(other or lacking)[0]} and {len(other) + len(lacking) - 1} more differ"
        )
    model.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)
