"""Publishing an agent's draft."""

from dataclasses import dataclass
from uuid import UUID

from domains.conversational_ai.model.agent import OfferedModels
from domains.conversational_ai.ports.agent_reading import AgentRow
from domains.conversational_ai.ports.agents_and_knowledge import AgentsAndKnowledgeTransactions
from shared_kernel.clock import Clock
from shared_kernel.principal import Principal, PrincipalKind


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishAgent:
    """Make the draft the live version. With `expected_version` only if nobody saved since that version was read."""

    agent_id: UUID
    expected_version: int | None = None
    requested_by: Principal


@dataclass(frozen=True, slots=True)
class PublishAgentHandler:
    """Publishes agents."""

    transactions: AgentsAndKnowledgeTransactions
    models: OfferedModels
    clock: Clock

    async def __call__(self, command: PublishAgent) -> AgentRow:
        """Freeze the draft as the next version, which answers from now on; a draft that is live already makes none.

        Raises `NotFound`, `Conflict` for another version, `InvalidInput` naming each field that is not ready.
        """
        by = command.requested_by.id if command.requested_by.kind is not PrincipalKind.SYSTEM else None
        async with self.transactions(command.requested_by) as tx:
            agent = await tx.agents.get(command.agent_id)
            agent.must_be_at(command.expected_version)
            published = agent.publish(by=by, models=self.models, at=self.clock.now())
            if published is not None:
                await tx.agents.add_version(published)
        return AgentRow.of(agent)
