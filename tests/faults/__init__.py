"""Killed, doubled, starved: real processes, and books that agree afterwards."""
