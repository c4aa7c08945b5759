"""The HTTP API: thin controllers over use cases."""
