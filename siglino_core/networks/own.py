"""A network of the user's own, named ``module:attribute``: a function or class that takes (device, dtype).

What it returns has a `card`, and `encode` where it embeds (as `siglino_core.encoders.encoder.Encoder` has) or takes
packs of patches where it teaches (as `siglino_core.teachers.teacher.Teacher` does). Nothing need be inherited. Whatever
it raises or returns wrongly is said in one sentence, with the place in its own code.
"""

import sysconfig
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siglino_core.config import did_you_mean
from siglino_core.encoders.card import Card
from siglino_core.encoders.spec import KINDS, Spec
from siglino_core.errors import ConfigError, DataError, SiglinoError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from siglino_core.device import Device
    from siglino_core.teachers.teacher import Targets

LONG = 1e-2  # how far from 1 the length of a feature may be
OURS, STDLIB, LIBRARIES = str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), "site-packages"


def built(spec: Spec, device: str, dtype: "torch.dtype") -> Any:
    """What the attribute returns.

    Raises:
        ConfigError: there is no such module or attribute, it takes other arguments or raises, or what it returns does
            not do what it is asked for.
    """
    module, _, attribute = spec.source.partition(":")
    with _told(spec.asked):
        try:
            factory = getattr(import_module(module), attribute)
            signature(factory).bind(device, dtype)
        except (ModuleNotFoundError, AttributeError, TypeError, ValueError) as e:
            if _place(e):  # raised within the module
                raise
            raise ConfigError(
                f"{spec.asked}: {e}{did_you_mean(module, list(KINDS))}. It is module:attribute: the module where "
                "Python finds it, on every node (PYTHONPATH=FOLDER), the attribute taking (device, dtype)."
            ) from e
        network = factory(device, dtype)
    if not isinstance(getattr(network, "card", None), Card):
        raise ConfigError(f"{spec.asked}: what it returned has no `card`, a Card")
    if spec.embeds:
        _require_encoder(spec, network)
    elif not callable(network):
        raise ConfigError(f"{spec.asked}: what it returned takes no packs of patches: it lacks __call__")
    return network


def _require_encoder(spec: Spec, network: Any) -> None:
    if not callable(getattr(network, "encode", None)):
        raise ConfigError(f"{spec.asked}: what it returned has no `encode`, pixels to features")
    if spec.image_size not in (0, network.card.pixels.size):
        raise ConfigError(f"{spec.asked} takes images of {network.card.pixels.size} pixels: leave embed.image_size out")


class OwnEncoder:
    """The user's encoder, held to what its card says."""

    def __init__(self, network: Any, device: "Device") -> None:
        self.card, self.device, self._network = network.card, device, network

    def encode(self, pixels_BHW3: "np.ndarray") -> "np.ndarray":
        """Features of unit length, fp32 [B, dim].

        Raises:
            DataError: it failed, or they are of another shape or length; one that isn't finite is left to the caller.
        """
        import numpy as np
        import torch

        with _told(f"encoder {self.card.name}", DataError):
            made = self._network.encode(pixels_BHW3)
            made = made.detach().float().cpu().numpy() if isinstance(made, torch.Tensor) else made
        try:
            features_BC = np.asarray(made, np.float32)
        except (TypeError, ValueError) as e:
            raise DataError(f"encoder {self.card.name}: `encode` returned {type(made).__name__}, no numbers") from e
        wanted = (len(pixels_BHW3), self.card.dim)
        if features_BC.shape != wanted:
            raise DataError(f"encoder {self.card.name}: features of shape {features_BC.shape}, its card says {wanted}")
        length_B = np.linalg.norm(features_BC, axis=1)
        if (np.abs(length_B[np.isfinite(length_B)] - 1) > LONG).any():
            raise DataError(f"encoder {self.card.name}: its features are not of unit length ({length_B[:3]}, ...)")
        return features_BC


class OwnTeacher:
    """The user's teacher; it gets patches of its own, which it may change."""

    def __init__(self, network: Any) -> None:
        self.card, self._network = network.card, network

    def __getattr__(self, name: str) -> Any:  # its `head`, if it pools
        return getattr(self.__dict__["_network"], name)

    def __call__(self, patches_NV: "torch.Tensor", shapes: Sequence[tuple[int, int]]) -> "Targets":
        """Targets, as the network gives them.

        Raises:
            DataError: it failed, or what it gave are no Targets of tensors.
        """
        import torch

        from siglino_core.teachers.teacher import Targets

        with _told(f"teacher {self.card.name}", DataError):
            made = self._network(patches_NV.clone(), shapes)
        kinds = [None if part is None else type(part).__name__ for part in made] if isinstance(made, Targets) else []
        if not kinds or kinds[0] is None or not all(x is None or isinstance(x, torch.Tensor) for x in made):
            what = f"Targets of {kinds}" if kinds else type(made).__name__
            raise DataError(f"teacher {self.card.name}: it returned {what}, not Targets of tensors")
        return made


@contextmanager
def _told(who: str, error: type[SiglinoError] = ConfigError) -> Iterator[None]:
    """What the user's code raises becomes one of our errors, with its place."""
    try:
        yield
    except SiglinoError:
        raise
    except (Exception, SystemExit) as e:
        place = _place(e)
        raise error(f"{who}: {type(e).__name__}: {e}" + (f" ({place})" if place else "")) from e


def _place(e: BaseException) -> str:
    """The last line of the user's code on the way to what was raised; empty: there is none."""
    if isinstance(e, SyntaxError):
        return ""  # its text says where
    frames = [f for f in traceback.extract_tb(e.__traceback__) if not f.filename.startswith((OURS, "<frozen "))]
    frames = [f for f in frames if LIBRARIES in f.filename or not f.filename.startswith(STDLIB)]
    users = [f for f in frames if LIBRARIES not in f.filename] or frames
    return f"{Path(users[-1].filename).name}, line {users[-1].lineno}" if users else ""
