"""Conversational AI in Postgres."""
