"""Suites that a port's fake and its real adapters both pass."""
