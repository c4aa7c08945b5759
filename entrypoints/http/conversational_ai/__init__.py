"""Agents, knowledge and conversations over HTTP."""
