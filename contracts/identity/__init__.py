"""What other contexts may know of identity."""
