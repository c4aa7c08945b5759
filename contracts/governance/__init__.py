"""What other contexts may know of governance."""
