"""What can be asked of governance, one file each."""
