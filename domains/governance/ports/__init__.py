"""What governance needs from outside."""
