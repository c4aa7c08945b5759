"""Generative models: OpenAI-compatible providers, the local model, and the catalogue that chooses among them."""
