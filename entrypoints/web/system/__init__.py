"""What serves pages, and the pages of development."""
