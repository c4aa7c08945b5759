"""Hybrid retrieval: the passages that are nearest to a question in meaning and words."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.citation import CitablePassage
from domains.conversational_ai.model.fusion import fused
from domains.conversational_ai.model.term_weights import TermWeights
from domains.conversational_ai.ports.knowledge_reading import FoundPassage, PassageReading
from domains.conversational_ai.ports.passage_index import PassageIndex, PassageMatch
from domains.conversational_ai.use_cases.passage_vectors import PassageVectors

# More than are wanted are asked of the index: the best of both orders come from further down in each, and what was just deleted, or is not
# wholly indexed, still stands in it.
_CANDIDATES = 40
_SPARE = 2
_MANY_SPARE = 10


@dataclass(frozen=True, slots=True)
class RetrievePassages:
    """Implements the port `Retrieval` over vectors, the passage index and the stored texts."""

    vectors: PassageVectors
    index: PassageIndex
    reading: PassageReading

    async def passages(
        self, organization_id: UUID, knowledge_base_ids: Sequence[UUID], question: str, *, limit: int, cut_off: float
    ) -> list[CitablePassage]:
        """Return at most `limit` passages with a similarity of at least `cut_off`, best first, numbered from 1.

        One call to the index and one database round trip; a second of each only when many of the best may no longer be shown.
        Raises `Unavailable` when the index or the embeddings do not answer.
        """
        if not knowledge_base_ids:
            return []
        question_vectors = await self.vectors.of_question(organization_id, question)
        wanted = max(limit * _SPARE, _CANDIDATES)
        shown, exhausted = await self._best(organization_id, knowledge_base_ids, question_vectors, cut_off, wanted)
        if len(shown) < limit and not exhausted:
            shown, _ = await self._best(organization_id, knowledge_base_ids, question_vectors, cut_off, wanted * _MANY_SPARE)
        return [_citable(number, *each) for number, each in enumerate(shown[:limit], start=1)]

    async def _best(
        self,
        organization_id: UUID,
        knowledge_base_ids: Sequence[UUID],
        question: tuple[Sequence[float], TermWeights],
        cut_off: float,
        wanted: int,
    ) -> tuple[list[tuple[PassageMatch, float, FoundPassage]], bool]:
        """Return those of the `wanted` best of each kind that may be shown, and whether asking for more could not find more."""
        matches = await self.index.search(organization_id, knowledge_base_ids, *question, wanted)
        near = [m for m in matches if m.dense >= cut_off]
        if not near:
            return [], True
        found = await self.reading.passages(
            organization_id,
            [m.passage_id for m in near],
            knowledge_base_ids=knowledge_base_ids,
            embedding_model=self.vectors.model,
        )
        scored = zip(matches, fused([m.dense for m in matches], [m.sparse for m in matches]), strict=True)
        shown = [(m, score, found[m.passage_id]) for m, score in scored if m.dense >= cut_off and m.passage_id in found]
        return sorted(shown, key=lambda each: each[1], reverse=True), len(near) < wanted


def _citable(number: int, match: PassageMatch, score: float, passage: FoundPassage) -> CitablePassage:
    return CitablePassage(
        number, match.passage_id, passage.source_id, passage.title, passage.text, passage.locator, match.dense, match.sparse, score
    )
