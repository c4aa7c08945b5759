"""Embeddings: texts as vectors, computed on this machine."""
