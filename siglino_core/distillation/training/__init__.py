"""The training of a student, without an orchestrator: images read by a plan, losses, steps, checkpoints, metrics."""
