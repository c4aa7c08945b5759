"""Agents, their templates, and the knowledge they answer from."""
