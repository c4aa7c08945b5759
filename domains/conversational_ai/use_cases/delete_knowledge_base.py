"""Deleting a knowledge base."""

from dataclasses import dataclass
from uuid import UUID

from contracts.billing.commands import Quotas
from contracts.billing.metrics import Metric
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.use_cases.source_storage import give_back_storage
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteKnowledgeBase:
    """Delete the base with all its sources. With `expected_version` only if nobody saved since that version was read."""

    knowledge_base_id: UUID
    expected_version: int | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class DeleteKnowledgeBaseHandler:
    """Deletes knowledge bases."""

    transactions: AgentsAndKnowledgeTransactions
    quotas: Quotas
    clock: Clock

    async def __call__(self, command: DeleteKnowledgeBase) -> None:
        """Delete the base: nothing of it is found from now on, and its place, its documents and its storage are free.

        Its content and vectors are removed in the background. Raises `NotFound`, `Conflict` for another version.
        """
        at = self.clock.now()
        async with self.transactions(command.requested_by) as tx:
            base = await tx.knowledge_bases.get(command.knowledge_base_id)
            base.must_be_at(command.expected_version)
            sources = await tx.sources.delete_all(base.id, at=at)
            await tx.knowledge_bases.detach(base.id)
            base.delete(sources=len(sources), at=at)
            for gone in sources:
                await self.quotas.give_back(tx.unit, metric=Metric.DOCUMENTS, quantity=1, cause_id=gone.id, at=at)
                await give_back_storage(self.quotas, tx.unit, gone, at=at)
            await self.quotas.give_back(tx.unit, metric=Metric.KNOWLEDGE_BASES, quantity=1, cause_id=base.id, at=at)
