"""What the orchestrator needs of the knowledge: the passages that fit a question best."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from domains.conversational_ai.model.citation import CitablePassage


class Retrieval(Protocol):
    """Finds passages."""

    async def passages(
        self, organization_id: UUID, knowledge_base_ids: Sequence[UUID], question: str, *, limit: int, cut_off: float
    ) -> Sequence[CitablePassage]:
        """Return at most `limit` passages with a similarity of at least `cut_off`, best first, numbered from 1.

        Raises `Unavailable` when the index does not answer.
        """
        ...
