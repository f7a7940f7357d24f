"""Curation: which images of a pool are worth learning from."""
