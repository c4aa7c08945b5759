"""What billing needs from outside."""
