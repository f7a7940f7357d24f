"""The one door to frozen networks: from a spec to its card, to an encoder of pools, to a teacher of students.

Whatever the grammar of `siglino_core.encoders.spec` names goes through each: a network that embeds also teaches, by
pixels, and one that teaches also embeds, by its summaries. Libraries of networks are imported where one is built.
"""

import platform
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

from siglino_core.device import Device, choose
from siglino_core.encoders.card import Card
from siglino_core.encoders.spec import KINDS, OWN, Spec
from siglino_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from siglino_core.teachers.teacher import Teacher


class Embeds(Protocol):
    """What embeds a pool: unit-length fp32 features [B, dim] of uint8 pixels [B, H, W, 3]."""

    card: Card
    device: Device

    def encode(self, pixels_BHW3: "np.ndarray") -> "np.ndarray": ...


def describe(spec: Spec | str) -> Card:
    """The card; no network is built where files tell its identity.

    Args:
        spec: a text alone is as ``targets.teachers`` has it.

    Raises:
        ConfigError: it is no spec, or its weights cannot be had.
    """
    spec = _parsed(spec)
    if spec.kind == OWN:
        return _own(spec, "cpu", None).card
    return _fitting(spec, _module(KINDS[spec.kind].describes).describe(spec))


def outline(spec: Spec | str) -> Card:
    """The card for prices alone: without weights and without their identity, where it can be had so.

    Raises:
        ConfigError: it is no spec, or its shape cannot be had.
    """
    spec = _parsed(spec)
    return describe(spec) if spec.kind == OWN else _fitting(spec, _module(KINDS[spec.kind].describes).outline(spec))


def load_encoder(spec: Spec, device: str = "cpu", precision: str = "auto") -> Embeds:
    """What embeds a pool, frozen and ready to compute; raises as :func:`describe`."""
    if spec.kind == OWN:
        from siglino_core.networks.own import OwnEncoder

        chosen = choose(device, precision)
        network = _own(spec, chosen.device, chosen.dtype)
        return OwnEncoder(network, chosen)
    kind = KINDS[spec.kind]
    if kind.embeds:
        return _module(kind.describes).load(spec, device, precision)
    from siglino_core.networks.as_encoder import TeacherEncoder

    chosen = choose(device, precision)
    return TeacherEncoder(_module(kind.teaches).load(spec, chosen.device, chosen.dtype), chosen)


def load_teacher(spec: Spec | str, device: str = "cpu", dtype: "torch.dtype | None" = None) -> "Teacher":
    """What gives targets for packs of patches, frozen and ready to compute; raises as :func:`describe`.

    Args:
        dtype: fp32 if left out.
    """
    import torch

    spec, dtype = _parsed(spec), dtype or torch.float32
    if spec.kind == OWN:
        from siglino_core.networks.own import OwnTeacher

        return cast("Teacher", OwnTeacher(_own(spec, device, dtype)))
    kind = KINDS[spec.kind]
    if kind.teaches:
        return _module(kind.teaches).load(spec, device, dtype)
    from siglino_core.networks.by_pixels import PixelTeacher

    precision = "bf16" if dtype is torch.bfloat16 else "fp32"
    return PixelTeacher(_module(kind.describes).load(spec, device, precision))


def same_teacher(teacher: "Teacher", card: Card) -> "Teacher":
    """The teacher, if it is on this machine the one that the run began with.

    Raises:
        DataError: it is another.
    """
    if teacher.card.deciding() != card.deciding():
        raise DataError(
            f"teacher {card.name}: the weights on {platform.node()} are not those that the run began with "
            f"({teacher.card.identity[:12]}, not {card.identity[:12]}). Give every node the same."
        )
    return teacher


def _parsed(spec: Spec | str) -> Spec:
    return Spec.parse(spec, "targets.teachers") if isinstance(spec, str) else spec


def _fitting(spec: Spec, card: Card) -> Card:
    """The card, if what takes packs of patches can embed images of the size that is asked for."""
    if spec.embeds and not KINDS[spec.kind].embeds and card.pixels.size % card.patch_size:
        raise ConfigError(f"{spec.asked}: embed.image_size={spec.image_size} is no multiple of {card.patch_size}")
    return card


def _module(name: str) -> Any:
    return import_module(f"siglino_core.{name}")


def _own(spec: Spec, device: str, dtype: "torch.dtype | None") -> Any:
    import torch

    from siglino_core.networks.own import built

    return built(spec, device, dtype or torch.float32)
