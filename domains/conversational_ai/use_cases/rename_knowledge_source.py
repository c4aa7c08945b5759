"""Renaming a knowledge source."""

from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameKnowledgeSource:
    """Give a source of a base another name."""

    knowledge_base_id: UUID
    source_id: UUID
    name: str
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class RenameKnowledgeSourceHandler:
    """Renames sources."""

    transactions: AgentsAndKnowledgeTransactions
    clock: Clock

    async def __call__(self, command: RenameKnowledgeSource) -> None:
        """Rename it: citations name it so from now on. Raises `NotFound`, `InvalidInput`."""
        async with self.transactions(command.requested_by) as tx:
            source = await tx.sources.get(command.knowledge_base_id, command.source_id)
            source.rename(command.name, at=self.clock.now())
