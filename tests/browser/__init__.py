"""Pages, in a browser."""
