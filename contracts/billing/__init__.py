"""What other contexts may know of billing."""
