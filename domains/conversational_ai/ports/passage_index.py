"""Passages of knowledge, found by the nearness of their vectors and by their words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from domains.conversational_ai.model.term_weights import TermWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageVector:
    """A passage's vector, its words and where the passage belongs: one version of one source of one knowledge base."""

    passage_id: UUID
    knowledge_base_id: UUID
    source_id: UUID
    source_version: int
    vector: Sequence[float]
    weights: TermWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageMatch:
    """A passage found.

    `dense` is the cosine similarity to the question, 1.0 for the same direction. `sparse` is the BM25 score of the words they share,
    0.0 for none.
    """

    passage_id: UUID
    source_id: UUID
    dense: float
    sparse: float


class PassageIndex(Protocol):
    """An index of passage vectors in which each organisation sees and changes its own passages alone.

    What a call has returned for is kept and found by the next call; an index that was never prepared is empty. Every method raises
    `Unavailable` when the index does not answer in time.
    """

    async def prepare(self) -> None:
        """Make the index ready for use if it is not; doing it again, or twice at once, changes nothing."""
        ...

    async def upsert(self, organization_id: UUID, entries: Sequence[PassageVector]) -> None:
        """Add passages, replacing those of the same id.

        A passage id belongs to the organisation that added it first: another's entry with that id is not stored. Raises
        `ValueError` when a vector's dimension is not the index's.
        """
        ...

    async def search(
        self,
        organization_id: UUID,
        knowledge_base_ids: Sequence[UUID],
        vector: Sequence[float],
        weights: TermWeights,
        limit: int,
    ) -> list[PassageMatch]:
        """Return passages of these knowledge bases: the `limit` (1 or more) nearest, and the `limit` with the highest score of words.

        The nearest come first, and each has both scores. How rare a word is counts: ln(1 + (N - n + 0.5) / (n + 0.5)) for a word that n of
        the N passages of these knowledge bases have; nobody else's passages are counted.
        No knowledge bases, no passages. Raises `ValueError` when the vector's dimension is not the index's.
        """
        ...

    async def remove_source(self, organization_id: UUID, source_id: UUID, *, except_version: int | None = None) -> None:
        """Remove a source's passages: all, or all but those of one version."""
        ...

    async def remove_knowledge_base(self, organization_id: UUID, knowledge_base_id: UUID) -> None:
        """Remove all passages of a knowledge base."""
        ...

    async def count(self, organization_id: UUID) -> int:
        """Return how many passages the organisation has in the index."""
        ...
