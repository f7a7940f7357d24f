"""Data sets to evaluate on: readers of the layouts that they come in, over one sample type."""
