"""A network of the user's own, named ``module:attribute``: a function or class that takes (device, dtype).

What it returns has a `card`, and `encode` where it embeds (as `siglino_core.encoders.encoder.Encoder` has) or takes
packs of patches where it teaches (as `siglino_core.teachers.teacher.Teacher` does). Nothing need be inherited.
"""

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from siglino_core.config import did_you_mean
from siglino_core.encoders.card import Card
from siglino_core.encoders.spec import KINDS, Spec
from siglino_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from siglino_core.device import Device

LONG = 1e-2  # how far from 1 the length of a feature may be


def built(spec: Spec, device: str, dtype: "torch.dtype") -> Any:
    """What the attribute returns.

    Raises:
        ConfigError: there is no such module or attribute, it takes other arguments, or what it returns has no card.
    """
    module, _, attribute = spec.source.partition(":")
    try:
        factory = getattr(import_module(module), attribute)
        signature(factory).bind(device, dtype)
    except (ImportError, AttributeError, TypeError, ValueError) as e:
        raise ConfigError(
            f"{spec.asked}: {e}{did_you_mean(module, list(KINDS))}. It is module:attribute, the module where Python "
            "finds it (on every node), the attribute taking (device, dtype)."
        ) from e
    network = factory(device, dtype)
    if not isinstance(getattr(network, "card", None), Card):
        raise ConfigError(f"{spec.asked}: what it returned has no `card`, a Card")
    return network


class OwnEncoder:
    """The user's encoder, held to what its card says."""

    def __init__(self, spec: Spec, network: Any, device: "Device") -> None:
        if not callable(getattr(network, "encode", None)):
            raise ConfigError(f"{spec.asked}: what it returned has no `encode`, pixels to features")
        if network.card.pixels.size < 1 or spec.image_size not in (0, network.card.pixels.size):
            raise ConfigError(
                f"{spec.asked} takes images of {network.card.pixels.size} pixels: leave embed.image_size out"
            )
        self.card, self.device, self._network = network.card, device, network

    def encode(self, pixels_BHW3: "np.ndarray") -> "np.ndarray":
        """Features of unit length, fp32 [B, dim].

        Raises:
            DataError: they are of another shape or length; one that isn't finite is left to the caller.
        """
        import numpy as np

        features_BC = np.asarray(self._network.encode(pixels_BHW3), np.float32)
        wanted = (len(pixels_BHW3), self.card.dim)
        if features_BC.shape != wanted:
            raise DataError(f"encoder {self.card.name}: features of shape {features_BC.shape}, its card says {wanted}")
        length_B = np.linalg.norm(features_BC, axis=1)
        if (np.abs(length_B[np.isfinite(length_B)] - 1) > LONG).any():
            raise DataError(f"encoder {self.card.name}: its features are not of unit length ({length_B[:3]}, ...)")
        return features_BC
