"""Weights of a student: read as published or from training, written for others."""
