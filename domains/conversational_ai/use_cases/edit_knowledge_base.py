"""Editing a knowledge base."""

from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class EditKnowledgeBase:
    """Change what is given. With `expected_version` only if nobody saved since that version was read."""

    knowledge_base_id: UUID
    name: str | None = None
    description: str | None = None
    language: KnowledgeLanguage | None = None
    expected_version: int | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class EditKnowledgeBaseHandler:
    """Edits knowledge bases."""

    transactions: AgentsAndKnowledgeTransactions
    clock: Clock

    async def __call__(self, command: EditKnowledgeBase) -> None:
        """Change the name, description or the language of sources to come. Raises `NotFound`, `Conflict`, `InvalidInput`."""
        async with self.transactions(command.requested_by) as tx:
            base = await tx.knowledge_bases.get(command.knowledge_base_id)
            base.must_be_at(command.expected_version)
            base.edit(name=command.name, description=command.description, language=command.language, at=self.clock.now())
