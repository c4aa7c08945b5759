"""Making a knowledge base."""

from dataclasses import dataclass

from contracts.billing.commands import Quotas
from contracts.billing.metrics import Metric
from domains.conversational_ai.model.knowledge_base import KnowledgeBase
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.knowledge_reading import KnowledgeBaseRow
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKnowledgeBase:
    """Make an empty knowledge base."""

    name: str
    description: str = ""
    language: KnowledgeLanguage = KnowledgeLanguage.FRENCH
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class CreateKnowledgeBaseHandler:
    """Makes knowledge bases."""

    transactions: AgentsAndKnowledgeTransactions
    quotas: Quotas
    clock: Clock

    async def __call__(self, command: CreateKnowledgeBase) -> KnowledgeBaseRow:
        """Make the base; it takes one of the plan's. Raises `InvalidInput`, `QuotaExceeded`."""
        at = self.clock.now()
        base = KnowledgeBase.create(
            new_id(),
            organization_id=command.requested_by.tenant,
            name=command.name,
            description=command.description,
            language=command.language,
            at=at,
        )
        async with self.transactions(command.requested_by) as tx:
            tx.knowledge_bases.add(base)
            await self.quotas.take(tx.unit, metric=Metric.KNOWLEDGE_BASES, quantity=1, cause="knowledge_base", cause_id=base.id, at=at)
        return KnowledgeBaseRow.of_new(base)
