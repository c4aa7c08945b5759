"""Model adapters against a provider's stand-in over HTTP."""
