"""All that a client or another context may depend on."""
