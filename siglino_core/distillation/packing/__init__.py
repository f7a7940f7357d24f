"""Token-balanced batches: which images share a sequence, and which sequences share a step."""

from siglino_core.distillation.packing.cost import Cost, default_max_images
from siglino_core.distillation.packing.mixture import Mixture, Part, grids, native_between
from siglino_core.distillation.packing.plan import Cursor, Pack, Plan

__all__ = [
    "Cost",
    "Cursor",
    "Mixture",
    "Pack",
    "Part",
    "Plan",
    "default_max_images",
    "grids",
    "native_between",
]
