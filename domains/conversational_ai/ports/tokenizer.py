"""How many tokens a text is."""

from typing import Protocol


class Tokenizer(Protocol):
    """Counts tokens on this machine, without asking a provider."""

    def count(self, text: str) -> int:
        """Return how many tokens `text` is, at least one unless it is empty; close to, not the same as, a provider's own count."""
        ...
