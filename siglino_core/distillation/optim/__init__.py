"""The optimisers of a distillation: which weight goes to which, their learning rate, and their settings."""

from siglino_core.config import Method, OptimConfig, Schedule
from siglino_core.distillation.optim.build import build
from siglino_core.distillation.optim.groups import Group, group_of, parameter_groups
from siglino_core.distillation.optim.local import clip_grad_norm
from siglino_core.distillation.optim.muon import Muon, orthogonalize
from siglino_core.distillation.optim.schedule import lr_factor

__all__ = [
    "Group",
    "Method",
    "Muon",
    "OptimConfig",
    "Schedule",
    "build",
    "clip_grad_norm",
    "group_of",
    "lr_factor",
    "orthogonalize",
    "parameter_groups",
]
