"""Segmentation from frozen features of patches: a linear probe, the labels of the nearest patches, and mean IoU."""

from siglino_core.evaluation.segmentation.iou import mean_iou

__all__ = ["mean_iou"]
