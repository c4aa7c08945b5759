"""French and English words by the stemmers of the Snowball project."""

import re
import threading
from functools import lru_cache
from typing import Final

import snowballstemmer

from domains.conversational_ai.model.words import STOP_WORDS, folded

_WORD: Final = re.compile(r"[^\W_]+")
_ELISION: Final = re.compile(r"\b(?:[ldjmtscn]|qu|jusqu|lorsqu|puisqu|quoiqu)['’](?=\w)", re.IGNORECASE)
_LIKE_DELIVERIES: Final = ("y", "ie", "ies")
#: Where a space was lost: "depuis 2014.Il est commun", "savoir plusLa durée".
_LOST_SPACE: Final = re.compile(r"(?<=[a-zà-öø-ÿ])(?=[A-ZÀ-ÖØ-Þ][a-zà-öø-ÿ])")


class SnowballTextAnalysis:
    """Implements the port `TextAnalysis`.

    Every word goes through the French stemmer, then the English one, whatever the language of its text: a question need not be told its
    language, knowledge in both is searched at once, and this was measured to find no less than the one stemmer that fits. Words in -y, -ie
    and -ies go through the English one alone, which knows that they belong together; the French one parts "deliveries" from "delivery".
    """

    def __init__(self) -> None:
        self._french = snowballstemmer.stemmer("french")
        self._english = snowballstemmer.stemmer("english")
        self._stemming = threading.Lock()  # a stemmer keeps its word in itself
        self._term = lru_cache(maxsize=65_536)(self._stemmed)

    @property
    def name(self) -> str:
        """The stemmers, and the version of what is done around them."""
        return "snowball-fr-en-1"

    def terms(self, text: str) -> list[str]:
        """Return the terms of `text` in order, each as often as it occurs."""
        spaced = _ELISION.sub(" ", _LOST_SPACE.sub(" ", text.replace("\0", " ")))
        found = (self._term(word) for word in _WORD.findall(spaced.lower()))
        return [term for term in found if term is not None]

    def _stemmed(self, word: str) -> str | None:
        plain = folded(word)
        if plain in STOP_WORDS or (len(plain) == 1 and plain.isalpha() and plain.isascii()):
            return None
        with self._stemming:
            stem = word if plain.endswith(_LIKE_DELIVERIES) else self._french.stemWord(word)
            return folded(self._english.stemWord(stem))
