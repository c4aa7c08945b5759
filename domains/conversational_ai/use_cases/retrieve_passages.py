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

# More than are wanted are asked of the index: the best of both orders come from further down in each. And more are read, since what was
# just deleted, or is not wholly indexed, still stands in it.
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

        One call to the index, and one database round trip for little more than is returned; more of either only when many of the best may
        no longer be shown.
        Raises `Unavailable` when the index or the embeddings do not answer.
        """
        if not knowledge_base_ids:
            return []
        question_vectors = await self.vectors.of_question(organization_id, question)
        wanted = max(limit * _SPARE, _CANDIDATES)
        near = await self._near(organization_id, knowledge_base_ids, question_vectors, cut_off, wanted)
        shown = await self._shown(organization_id, knowledge_base_ids, near, limit)
        if len(shown) < limit and len(near) >= wanted:
            near = await self._near(organization_id, knowledge_base_ids, question_vectors, cut_off, wanted * _MANY_SPARE)
            shown = await self._shown(organization_id, knowledge_base_ids, near, limit)
        return [self._citable(number, *each) for number, each in enumerate(shown, start=1)]

    async def _near(
        self,
        organization_id: UUID,
        knowledge_base_ids: Sequence[UUID],
        question: tuple[Sequence[float], TermWeights],
        cut_off: float,
        wanted: int,
    ) -> list[tuple[PassageMatch, float]]:
        """Return those of the `wanted` best of each kind that are near enough, with their fused scores, best first."""
        matches = await self.index.search(organization_id, knowledge_base_ids, *question, wanted)
        scored = zip(matches, fused([m.dense for m in matches], [m.sparse for m in matches]), strict=True)
        return sorted(
            (each for each in scored if self.vectors.similarity(each[0].dense) >= cut_off), key=lambda each: each[1], reverse=True
        )

    async def _shown(
        self, organization_id: UUID, knowledge_base_ids: Sequence[UUID], near: Sequence[tuple[PassageMatch, float]], limit: int
    ) -> list[tuple[PassageMatch, float, FoundPassage]]:
        """Return the first `limit` of them that may be shown."""
        shown: list[tuple[PassageMatch, float, FoundPassage]] = []
        for some in (near[: limit * _SPARE], near[limit * _SPARE :]):
            if not some or len(shown) >= limit:
                break
            found = await self.reading.passages(
                organization_id,
                [match.passage_id for match, _ in some],
                knowledge_base_ids=knowledge_base_ids,
                embedding_model=self.vectors.model,
            )
            shown += [(match, score, found[match.passage_id]) for match, score in some if match.passage_id in found]
        return shown[:limit]

    def _citable(self, number: int, match: PassageMatch, fused_score: float, passage: FoundPassage) -> CitablePassage:
        return CitablePassage(
            number,
            match.passage_id,
            passage.source_id,
            passage.title,
            passage.text,
            passage.locator,
            score=self.vectors.similarity(match.dense),
            sparse=match.sparse,
            fused=fused_score,
        )
