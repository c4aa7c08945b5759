"""Dense retrieval: the passages whose meaning is nearest to a question."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.citation import CitablePassage
from domains.conversational_ai.ports.embeddings import Embeddings
from domains.conversational_ai.ports.knowledge_reading import FoundPassage, KnowledgeReading
from domains.conversational_ai.ports.passage_index import PassageIndex, PassageMatch

# More than are wanted are asked of the index, since what was just deleted, or is not wholly indexed, still stands in it.
_SPARE = 2
_MANY_SPARE = 10


@dataclass(frozen=True, slots=True)
class RetrievePassages:
    """Implements the port `Retrieval` over embeddings, the passage index and the stored texts."""

    embeddings: Embeddings
    index: PassageIndex
    reading: KnowledgeReading

    async def passages(
        self, organization_id: UUID, knowledge_base_ids: Sequence[UUID], question: str, *, limit: int, cut_off: float
    ) -> list[CitablePassage]:
        """Return at most `limit` passages with a similarity of at least `cut_off`, nearest first, numbered from 1.

        One call to the index and one database round trip; a second of each only when many of the nearest may no longer be shown.
        Raises `Unavailable` when the index or the embeddings do not answer.
        """
        if not knowledge_base_ids:
            return []
        vector = await self.embeddings.embed_query(organization_id, question)
        shown, exhausted = await self._nearest(organization_id, knowledge_base_ids, vector, cut_off, limit * _SPARE)
        if len(shown) < limit and not exhausted:
            shown, _ = await self._nearest(organization_id, knowledge_base_ids, vector, cut_off, limit * _MANY_SPARE)
        return [_citable(number, match, passage) for number, (match, passage) in enumerate(shown[:limit], start=1)]

    async def _nearest(
        self, organization_id: UUID, knowledge_base_ids: Sequence[UUID], vector: Sequence[float], cut_off: float, wanted: int
    ) -> tuple[list[tuple[PassageMatch, FoundPassage]], bool]:
        """Return those of the `wanted` nearest that may be shown, and whether asking for more could not find more."""
        matches = await self.index.search(organization_id, knowledge_base_ids, vector, wanted)
        near = [m for m in matches if m.score >= cut_off]
        if not near:
            return [], True
        found = await self.reading.passages(
            organization_id,
            [m.passage_id for m in near],
            knowledge_base_ids=knowledge_base_ids,
            embedding_model=self.embeddings.name,
        )
        return [(m, found[m.passage_id]) for m in near if m.passage_id in found], len(near) < wanted


def _citable(number: int, match: PassageMatch, passage: FoundPassage) -> CitablePassage:
    return CitablePassage(number, match.passage_id, passage.source_id, passage.title, passage.text, passage.locator, match.score)
