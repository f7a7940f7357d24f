"""Frozen networks by one grammar: what embeds a pool, and what teaches a student."""

from siglino_core.networks.registry import Embeds, describe, load_encoder, load_teacher, outline, same_teacher

__all__ = ["Embeds", "describe", "load_encoder", "load_teacher", "outline", "same_teacher"]
