"""`luneo …`."""
