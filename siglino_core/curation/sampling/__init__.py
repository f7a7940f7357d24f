"""Sampling: how many images every cluster gives, and which."""
