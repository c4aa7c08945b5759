"""What identity needs from outside."""
