"""Training the early-fusion model: its loss, its batches, and the task that the loop trains."""
