"""Texts as vectors whose nearness is nearness in meaning."""

from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

QUESTION_CHARACTERS: Final = 1_000

#: What a question and a passage without anything in common score: cut-offs are made for this scale, on which 1 is the same text.
UNRELATED: Final = 0.80


class Embeddings(Protocol):
    """Turns texts into unit vectors; the dot product of two is their cosine similarity.

    Questions and passages may be embedded differently (a model can be trained so): use the method that fits the text.
    Vectors of two embeddings with different names must not be compared, so an index remembers the name.
    """

    @property
    def name(self) -> str:
        """A stable name of the model and its variant."""
        ...

    @property
    def dimension(self) -> int:
        """How many numbers a vector has."""
        ...

    def similarity(self, cosine: float) -> float:
        """Return a cosine of this model's vectors on the scale of `UNRELATED`; a greater one is never less."""
        ...

    async def embed_query(self, organization_id: UUID, text: str) -> Sequence[float]:
        """Return the vector of a question of `organization_id`.

        Only the first part of a long question counts: `QUESTION_CHARACTERS`, or fewer where a model reads less. Organisations take turns:
        one that asks much does not keep another waiting. A question whose caller left is not embedded any more.
        Raises `Unavailable` when the model can't be loaded.
        """
        ...

    async def embed_passages(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return one vector per passage, in the same order. Raises `Unavailable` when the model can't be loaded."""
        ...
