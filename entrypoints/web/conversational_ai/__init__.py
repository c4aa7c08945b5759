"""Pages of conversational AI."""
