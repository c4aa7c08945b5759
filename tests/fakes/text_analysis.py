"""A text analysis without stems."""

import re
from collections.abc import Sequence

from domains.conversational_ai.model.words import STOP_WORDS, folded

_WORD = re.compile(r"[^\W_]+")


class InMemoryTextAnalysis:
    """Folds words, leaves out those that say nothing, and lets the others be."""

    @property
    def name(self) -> str:
        return "in-memory-words"

    def terms(self, text: str) -> Sequence[str]:
        return [word for word in _WORD.findall(folded(text)) if word not in STOP_WORDS]
