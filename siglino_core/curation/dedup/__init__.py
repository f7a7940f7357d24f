"""Copies: exact ones by their bytes, near ones by their embeddings."""
