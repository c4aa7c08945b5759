"""Texts as the words that they are about."""

from collections.abc import Sequence
from typing import Protocol


class TextAnalysis(Protocol):
    """Takes a text apart into terms that can be compared, whatever form its words had.

    Case and accents are folded, elided articles split off, words that say nothing left out. Two analyses with different names must not be
    compared, so an index remembers the name.
    """

    @property
    def name(self) -> str:
        """A stable name of this analysis: a change of its terms is a new name."""
        ...

    def terms(self, text: str) -> Sequence[str]:
        """Return the terms of `text` in order, each as often as it occurs."""
        ...
