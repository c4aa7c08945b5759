"""The text of files, read in a process of its own."""
