"""Distillation's own data path: from a row of the curated set to the bytes, targets and batches that a step reads."""

from siglino_core.training.index import ImageIndex

__all__ = ["ImageIndex"]
