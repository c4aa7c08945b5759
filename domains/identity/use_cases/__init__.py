"""What identity does: one command or query per file, named for the action."""
