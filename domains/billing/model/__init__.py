"""What billing is about, free of everything outside."""
