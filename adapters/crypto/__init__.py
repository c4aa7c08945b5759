"""Password hashing and the making and reading of tokens."""
