"""People, organisations, sign-in and access."""
