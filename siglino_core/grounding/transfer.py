"""A student's weights into the early-fusion model, and what became of every key."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from siglino_core.errors import ConfigError
from siglino_core.grounding.config import GroundingConfig
from siglino_core.grounding.model import GroundingModel, headless
from siglino_core.models.config import SigLinoConfig
from siglino_core.models.encoder import SigLino
from siglino_core.weights.load import load_student


@dataclass(frozen=True)
class Transfer:
    """Keys, each in one list.

    Attributes:
        copied: the student's, which the model has now.
        new: the model's, which no student has.
        heads: the student's heads for its teachers, which grounding has no use for.
        unused: the student's that the model has no place for: a fault.
    """

    copied: tuple[str, ...]
    new: tuple[str, ...]
    heads: tuple[str, ...]
    unused: tuple[str, ...]


def transfer(model: GroundingModel, state: Mapping[str, Tensor], student: SigLinoConfig) -> Transfer:
    """Copy a student's weights.

    Args:
        state: the student's state dict.
        student: its shape, whose teachers name its heads.

    Raises:
        ConfigError: a key that the model has no place for, one that is missing, or another shape.
    """
    own = model.student.state_dict()
    prefixes = (*(f"{t.name}_" for t in student.teachers), "layer_norm_dinov3")
    heads = tuple(k for k in state if k.startswith(prefixes))
    body = {k: v for k, v in state.items() if k not in set(heads)}
    copied = tuple(k for k in body if k in own)
    unused = tuple(k for k in body if k not in own)
    with torch.device("meta"):  # its keys alone are wanted
        wanted = SigLino(headless(student)).state_dict()
    lacking = tuple(k for k in wanted if k not in body)
    other = tuple(k for k in copied if own[k].shape != body[k].shape)
    faults: dict[str, tuple[str, ...]] = {
        "has no place in the model": unused,
        "is missing": lacking,
        "has another shape": other,
    }
    for what, keys in faults.items():
        if keys:
            more = f", and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise ConfigError(
                f"the student's {next(iter(keys))} {what}{more}: it is of another shape than the model's student"
            )
    model.student.load_state_dict({k: body[k] for k in copied}, strict=False)
    new = tuple(k for k in model.state_dict() if k.removeprefix("student.") not in body)
    return Transfer(copied, new, heads, unused)


def grounding_model(checkpoint: str, **settings: object) -> tuple[GroundingModel, Transfer]:
    """A model whose image side is a student, on the CPU, in fp32, and what became of its keys.

    Args:
        checkpoint: any form of a student that :func:`siglino_core.weights.load.load_student` takes.
        settings: of :class:`GroundingConfig`, but for the student.

    Raises:
        ConfigError, DataError: there is no such student, or it is damaged.
    """
    loaded = load_student(checkpoint)
    model = GroundingModel(GroundingConfig(student=loaded.spec, **settings))  # type: ignore[arg-type]
    return model, transfer(model, loaded.state_dict(), loaded.spec)
