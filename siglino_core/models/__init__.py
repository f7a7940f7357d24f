"""The student: its encoder, its heads, and the formats in which its weights travel.

The modules that make up the model import one another relatively, so that an exported folder can carry them
as they are for readers who have no SigLino installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from siglino_core.models.config import PRESETS, HeadConfig, SigLinoConfig

if TYPE_CHECKING:
    from siglino_core.models.encoder import Features, SigLino
    from siglino_core.models.layout import Layout

__all__ = ["PRESETS", "Features", "HeadConfig", "Layout", "SigLino", "SigLinoConfig"]

_WITH_TORCH = {"Features": "encoder", "SigLino": "encoder", "Layout": "layout"}


def __getattr__(name: str) -> Any:
    """What needs torch, when it is asked for: whoever decodes images imports this package too."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WITH_TORCH[name]}"), name)
