"""The student: its encoder, its heads, and the formats in which its weights travel.

The modules that make up the model import one another relatively, so that an exported folder can carry them
as they are for readers who have no SigLino installed.
"""

from siglino_core.models.config import PRESETS, HeadConfig, SigLinoConfig
from siglino_core.models.encoder import Features, SigLino
from siglino_core.models.layout import Layout

__all__ = ["PRESETS", "Features", "HeadConfig", "Layout", "SigLino", "SigLinoConfig"]
