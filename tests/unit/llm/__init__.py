"""The local model, the prompt, the catalogue and the event-stream parser."""
