"""What other contexts may know of conversational_ai."""
