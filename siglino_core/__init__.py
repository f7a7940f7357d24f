"""What SigLino computes: maths, models and formats, without any orchestrator."""

__version__ = "0.1.0"
