"""The optimisers of a distillation: which weight goes to which, their learning rate, and their settings."""

from siglino_core.optim.muon import Muon, orthogonalize

__all__ = ["Muon", "orthogonalize"]
