"""Trying out what a knowledge base finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.citation import CitablePassage
from domains.conversational_ai.model.text import problem_with, refuse
from domains.conversational_ai.ports.knowledge_reading import KnowledgeReading
from domains.conversational_ai.ports.retrieval import Retrieval
from shared_kernel.errors import FieldError
from shared_kernel.principal import Principal

QUERY_LENGTH = 1_000
DEFAULT_LIMIT = 10
MAXIMUM_LIMIT = 50
_NO_CUT_OFF = -1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchKnowledge:
    """Find the `limit` (1–50) passages of a base that fit `query` best."""

    knowledge_base_id: UUID
    query: str
    limit: int = DEFAULT_LIMIT
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class SearchKnowledgeHandler:
    """Searches one knowledge base."""

    reading: KnowledgeReading
    retrieval: Retrieval

    async def __call__(self, query: SearchKnowledge) -> Sequence[CitablePassage]:
        """Return the best passages, without a cut-off: whoever tries things out wants to see the scores below it too.

        Raises `NotFound` for the base, `InvalidInput`, `Unavailable` when the index does not answer.
        """
        refuse(
            [
                problem_with("query", query.query, minimum=1, maximum=QUERY_LENGTH),
                None
                if 1 <= query.limit <= MAXIMUM_LIMIT
                else FieldError("limit", "out_of_range", f"must be between 1 and {MAXIMUM_LIMIT}"),
            ]
        )
        base = await self.reading.base(query.requested_by, query.knowledge_base_id)
        return await self.retrieval.passages(query.requested_by.tenant, [base.id], query.query, limit=query.limit, cut_off=_NO_CUT_OFF)
