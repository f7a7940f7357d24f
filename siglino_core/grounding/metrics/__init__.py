"""How well boxes, masks and answers of presence fit: pure functions over arrays."""
