"""The passage index in a dictionary."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from domains.conversational_ai.model.term_weights import TermWeights
from domains.conversational_ai.ports.passage_index import PassageMatch, PassageVector


class InMemoryPassageIndex:
    """Compares the question with every passage; `dimension` is checked as a real index does."""

    def __init__(self, dimension: int = 384) -> None:
        self._dimension = dimension
        self._entries: dict[UUID, tuple[UUID, PassageVector]] = {}

    async def prepare(self) -> None:
        """A dictionary is always ready."""

    async def upsert(self, organization_id: UUID, entries: Sequence[PassageVector]) -> None:
        for entry in entries:
            self._check(entry.vector)
        for entry in entries:
            owner, _ = self._entries.get(entry.passage_id, (organization_id, entry))
            if owner == organization_id:
                self._entries[entry.passage_id] = (organization_id, entry)

    async def search(
        self,
        organization_id: UUID,
        knowledge_base_ids: Sequence[UUID],
        vector: Sequence[float],
        weights: TermWeights,
        limit: int,
    ) -> list[PassageMatch]:
        self._check(vector)
        searched = [e for owner, e in self._entries.values() if owner == organization_id and e.knowledge_base_id in knowledge_base_ids]
        having = Counter(number for entry in searched for number in entry.weights.numbers)
        rarity = {number: math.log(1 + (len(searched) - n + 0.5) / (n + 0.5)) for number, n in having.items()}
        matches = [
            PassageMatch(
                passage_id=entry.passage_id,
                source_id=entry.source_id,
                dense=_cosine(vector, entry.vector),
                sparse=_product(weights, entry.weights, rarity),
            )
            for entry in searched
        ]
        nearest = sorted(matches, key=lambda match: match.dense, reverse=True)
        by_words = sorted((m for m in matches if m.sparse), key=lambda match: match.sparse, reverse=True)
        chosen = {match.passage_id for match in (*nearest[:limit], *by_words[:limit])}
        return [match for match in nearest if match.passage_id in chosen]

    async def remove_source(self, organization_id: UUID, source_id: UUID, *, except_version: int | None = None) -> None:
        self._entries = {
            passage_id: (owner, entry)
            for passage_id, (owner, entry) in self._entries.items()
            if not (owner == organization_id and entry.source_id == source_id and entry.source_version != except_version)
        }

    async def remove_knowledge_base(self, organization_id: UUID, knowledge_base_id: UUID) -> None:
        self._entries = {
            passage_id: (owner, entry)
            for passage_id, (owner, entry) in self._entries.items()
            if not (owner == organization_id and entry.knowledge_base_id == knowledge_base_id)
        }

    async def count(self, organization_id: UUID) -> int:
        return sum(1 for owner, _ in self._entries.values() if owner == organization_id)

    def _check(self, vector: Sequence[float]) -> None:
        if len(vector) != self._dimension:
            raise ValueError(f"A vector here has {self._dimension} numbers, not {len(vector)}.")


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    lengths = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0


def _product(question: TermWeights, passage: TermWeights, rarity: Mapping[int, float]) -> float:
    found = dict(zip(passage.numbers, passage.weights, strict=True))
    return sum(
        weight * rarity[number] * found[number]
        for number, weight in zip(question.numbers, question.weights, strict=True)
        if number in found
    )
