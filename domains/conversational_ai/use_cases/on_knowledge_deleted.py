"""Removing deleted knowledge for good, in the background."""

from dataclasses import dataclass

from contracts.conversational_ai.events import KnowledgeBaseDeleted, KnowledgeSourceDeleted
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.passage_index import PassageIndex
from shared_kernel.events import Delivery
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class ForgetSource:
    """Removes a deleted source's vectors, then its passages and content. Indexing that still runs cleans up after itself."""

    transactions: AgentsAndKnowledgeTransactions
    index: PassageIndex

    async def __call__(self, event: KnowledgeSourceDeleted, delivery: Delivery) -> None:
        """Remove it. Raises `Unavailable` when the index does not answer; doing it again changes nothing."""
        system = Principal.system(delivery.organization_id)
        await self.index.remove_source(system.tenant, event.source_id)
        async with self.transactions(system, completes=delivery) as tx:
            await tx.sources.forget(event.source_id)


@dataclass(frozen=True, slots=True)
class ForgetKnowledgeBase:
    """Removes a deleted base's vectors, then its sources with their passages and content."""

    transactions: AgentsAndKnowledgeTransactions
    index: PassageIndex

    async def __call__(self, event: KnowledgeBaseDeleted, delivery: Delivery) -> None:
        """Remove it. Raises `Unavailable` when the index does not answer; doing it again changes nothing."""
        system = Principal.system(delivery.organization_id)
        await self.index.remove_knowledge_base(system.tenant, event.knowledge_base_id)
        async with self.transactions(system, completes=delivery) as tx:
            await tx.sources.forget_base(event.knowledge_base_id)
