"""The embedding of questions, and who is next."""
