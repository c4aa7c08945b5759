"""Passages of knowledge, found by the nearness of their vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageVector:
    """A passage's vector and where the passage belongs: one version of one source of one knowledge base."""

    passage_id: UUID
    knowledge_base_id: UUID
    source_id: UUID
    source_version: int
    vector: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageMatch:
    """A passage found; `score` is the cosine similarity to the question, 1.0 for the same direction."""

    passage_id: UUID
    source_id: UUID
    score: float


class PassageIndex(Protocol):
    """An index of passage vectors in which each organisation sees and changes its own passages alone.

    What a call has returned for is kept and found by the next call. Every method raises `Unavailable` when the index does not
    answer in time.
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
        self, organization_id: UUID, knowledge_base_ids: Sequence[UUID], vector: Sequence[float], limit: int
    ) -> list[PassageMatch]:
        """Return at most `limit` (1 or more) passages of these knowledge bases, the nearest first.

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
