"""Choosing the knowledge that an agent answers from."""

from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.ports.agent_reading import AgentRow
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachKnowledge:
    """Let the agent answer from exactly these knowledge bases. With `expected_version` only if nobody saved since that version was read."""

    agent_id: UUID
    knowledge_base_ids: tuple[UUID, ...]
    expected_version: int | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class AttachKnowledgeHandler:
    """Attaches and detaches knowledge bases."""

    transactions: AgentsAndKnowledgeTransactions
    clock: Clock

    async def __call__(self, command: AttachKnowledge) -> AgentRow:
        """Replace the agent's knowledge bases, at once and without publishing.

        Raises `NotFound` for the agent or a base, another organisation's among them; `Conflict` for another version;
        `InvalidInput` for too many or the same one twice.
        """
        async with self.transactions(command.requested_by) as tx:
            agent = await tx.agents.get(command.agent_id)
            agent.must_be_at(command.expected_version)
            agent.answer_from(command.knowledge_base_ids, at=self.clock.now())
            await tx.knowledge_bases.hold(command.knowledge_base_ids)
        return AgentRow.of(agent)
