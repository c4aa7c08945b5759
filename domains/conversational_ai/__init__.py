"""Conversational AI: agents, knowledge, conversations and the turns that answer them."""
