"""What billing does: one command or query per file."""
