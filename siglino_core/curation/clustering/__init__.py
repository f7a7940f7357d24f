"""Hierarchical k-means on points that live elsewhere, and near-duplicates inside its clusters."""
