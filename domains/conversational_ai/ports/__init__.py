"""What the conversational AI context needs from outside, in its own nouns."""
