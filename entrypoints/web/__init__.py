"""Pages for people: the chat, the knowledge, the way in; and the API's reference."""
