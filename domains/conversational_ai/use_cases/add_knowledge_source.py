"""Adding something to answer from."""

from dataclasses import dataclass
from uuid import UUID

from contracts.billing.commands import Quotas
from contracts.billing.metrics import Metric
from domains.conversational_ai.model.knowledge_source import KnowledgeSource, SourceContent
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from domains.conversational_ai.ports.knowledge_reading import KnowledgeSourceRow
from domains.conversational_ai.use_cases.source_storage import take_storage
from shared_kernel.clock import Clock
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class AddKnowledgeSource:
    """Add a source to a base. Without a `language` it is in the base's; whoever keeps its file already knows its id."""

    knowledge_base_id: UUID
    name: str
    content: SourceContent
    language: KnowledgeLanguage | None = None
    source_id: UUID | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class AddKnowledgeSourceHandler:
    """Adds sources."""

    transactions: AgentsAndKnowledgeTransactions
    quotas: Quotas
    clock: Clock

    async def __call__(self, command: AddKnowledgeSource) -> KnowledgeSourceRow:
        """Store the source; it is indexed in the background and found when it is ready.

        It takes one of the plan's documents, metered here once, and its bytes of storage (a page's are counted when it is fetched).
        Raises `NotFound` for the base, `InvalidInput`, `QuotaExceeded`.
        """
        at = self.clock.now()
        async with self.transactions(command.requested_by) as tx:
            base = await tx.knowledge_bases.get(command.knowledge_base_id)
            source = KnowledgeSource.add(
                command.source_id or new_id(),
                organization_id=base.organization_id,
                knowledge_base_id=base.id,
                name=command.name,
                language=command.language or base.language,
                content=command.content,
                at=at,
            )
            await tx.sources.add(source, command.content)
            await self.quotas.take(tx.unit, metric=Metric.DOCUMENTS, quantity=1, cause="knowledge_source", cause_id=source.id, at=at)
            await take_storage(self.quotas, tx.unit, source, at=at)
        return KnowledgeSourceRow.of(source)
