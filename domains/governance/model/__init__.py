"""Entries, seals, and the mathematics that binds them."""
