"""Deleting a knowledge source."""

from dataclasses import dataclass
from uuid import UUID

from contracts.billing.commands import Quotas
from contracts.billing.metrics import Metric
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.use_cases.source_storage import give_back_storage
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteKnowledgeSource:
    """Delete one source of a base."""

    knowledge_base_id: UUID
    source_id: UUID
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class DeleteKnowledgeSourceHandler:
    """Deletes sources."""

    transactions: AgentsAndKnowledgeTransactions
    quotas: Quotas
    clock: Clock

    async def __call__(self, command: DeleteKnowledgeSource) -> None:
        """Delete the source: nothing of it is found from now on, and its document and storage are free.

        Its content and vectors are removed in the background; indexing that still runs stops. Raises `NotFound`.
        """
        at = self.clock.now()
        async with self.transactions(command.requested_by) as tx:
            source = await tx.sources.get(command.knowledge_base_id, command.source_id)
            source.delete(at=at)
            await self.quotas.give_back(tx.unit, metric=Metric.DOCUMENTS, quantity=1, cause_id=source.id, at=at)
            await give_back_storage(self.quotas, tx.unit, source, at=at)
