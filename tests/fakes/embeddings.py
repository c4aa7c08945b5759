"""Embeddings without a model: texts that share words, or parts of words, are near."""

import math
import re
import unicodedata
import zlib
from collections.abc import Sequence
from uuid import UUID

from domains.conversational_ai.ports.embeddings import QUESTION_CHARACTERS

_WORD = re.compile(r"[^\W_]+")


class InMemoryEmbeddings:
    """Hashes words and the beginnings of words into a bag, as a unit vector. The same text has the same vector in every process."""

    def __init__(self, *, dimension: int = 384) -> None:
        self._dimension = dimension

    @property
    def name(self) -> str:
        """The name of this scheme and its dimension."""
        return f"in-memory-bag-of-words-{self._dimension}"

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        return self._dimension

    def similarity(self, cosine: float) -> float:
        """Return it as it is."""
        return cosine

    async def embed_query(self, organization_id: UUID, text: str) -> Sequence[float]:  # noqa: ARG002 - nobody waits here
        """Return the vector of a question's first part."""
        return self._vector(text[:QUESTION_CHARACTERS])

    async def embed_passages(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector per passage."""
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self._dimension
        plain = "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
        for word in _WORD.findall(plain):
            for feature, weight in ((word, 1.0), (word[:5], 0.7)):
                digest = zlib.crc32(feature.encode("utf-8", "replace"))
                vector[digest % self._dimension] += weight * len(word) ** 0.5
        length = math.sqrt(sum(value * value for value in vector))
        if not length:
            return [1.0] + [0.0] * (self._dimension - 1)
        return [value / length for value in vector]
