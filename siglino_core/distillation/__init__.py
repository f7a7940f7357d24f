"""Distillation: a student learns from teachers on the curated images."""
